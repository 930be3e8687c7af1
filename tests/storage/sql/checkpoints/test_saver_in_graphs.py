"""Real graphs on the saver: the same as on LangGraph's own, called either way."""

from __future__ import annotations

import asyncio
import operator
import os
import subprocess
import sys
from collections.abc import Callable
from threading import Event
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.types import Command, Overwrite, Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from guardgraph.state import Unserializable
from guardgraph.storage import SQLSaver, types_of_graph
from tests.storage.sql.stored import config_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

Invoke = Callable[..., Any]


def folded(state: list[str], batches: Any) -> list[str]:
    return state + [item for batch in batches for item in batch]


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    folded: Annotated[list[str], DeltaChannel(folded, snapshot_frequency=4)]
    messages: Annotated[list[AnyMessage], add_messages]
    answer: str
    number: int


class Inner(TypedDict, total=False):
    answer: str
    steps: Annotated[list[str], operator.add]


def team() -> StateGraph[Any, Any, Any, Any]:
    """A graph with a fan-out, a subgraph that asks a human, a loop and an overwrite."""
    inner = StateGraph(Inner)
    inner.add_node("before", lambda state: {"steps": ["before"]})
    inner.add_node("ask", lambda state: {"answer": interrupt({"question": ("ok", "?")})})
    inner.add_edge(START, "before")
    inner.add_edge("before", "ask")
    inner.add_edge("ask", END)

    graph = StateGraph(State)
    graph.add_node(
        "plan", lambda state: {"log": ["plan"], "folded": ["plan"], "messages": [HumanMessage("hi", id="1")]}
    )
    graph.add_node("work", work)
    graph.add_node("human", inner.compile())
    graph.add_node("finish", finish)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda state: [Send("work", {"number": n}) for n in range(12)], ["work"])
    graph.add_edge("work", "human")
    graph.add_edge("human", "finish")
    return graph


def work(state: State) -> State:
    number = state.get("number", 0)
    return {"log": [(number, {number})], "folded": [str(number)]}


def finish(state: State) -> Command[Any]:
    again = state.get("number", 0) < 3
    update: dict[str, Any] = {
        "number": state.get("number", 0) + 1,
        "folded": ["f"],
        "messages": [AIMessage("bye", id="2")],
    }
    if not again:
        update["log"] = Overwrite([*state.get("log", [])[:3], state.get("answer")])
    return Command(update=update, goto="finish" if again else END)


def by_invoke(graph: Any, value: Any, config: RunnableConfig) -> Any:
    return graph.invoke(value, config)


def by_ainvoke(graph: Any, value: Any, config: RunnableConfig) -> Any:
    return asyncio.run(graph.ainvoke(value, config))


def story(saver: BaseCheckpointSaver[Any], invoke: Invoke) -> list[Any]:
    """Run the team to its end, look back, fork, change the past, run on; return all that was seen."""
    graph, config = team().compile(checkpointer=saver), config_of("t")
    waiting = invoke(graph, {"log": []}, config)
    seen: list[Any] = [waiting["folded"], [item.value for item in waiting["__interrupt__"]]]
    nested = graph.get_state(config, subgraphs=True).tasks[0].state
    seen.append(nested.values)  # type: ignore[union-attr]
    seen.append(invoke(graph, Command(resume="yes"), config))
    history = list(graph.get_state_history(config))
    seen += [(item.next, item.values) for item in history]
    planned = next(item for item in history if item.next == ("plan",))
    fork = graph.update_state(planned.config, {"folded": ["forked"]}, as_node="plan")
    seen.append(graph.get_state(fork).values)
    seen.append(invoke(graph, None, fork)["folded"])
    seen.append(invoke(graph, Command(resume="forked"), config))
    seen += [item.metadata.get("source") for item in graph.get_state_history(config)]  # type: ignore[union-attr]
    return seen


@pytest.mark.parametrize("invoke", [by_invoke, by_ainvoke])
def test_a_whole_story_is_the_same_as_on_langgraphs_own_saver(saver: SQLSaver, invoke: Invoke) -> None:
    known = story(InMemorySaver(), invoke)
    found = story(saver, invoke)

    assert flat(found) == flat(known)
    assert len(found) > 15


def flat(value: Any) -> Any:
    """Return `value` with tuples and sets as lists: LangGraph's own saver does not keep them."""
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    return [flat(item) for item in value] if isinstance(value, list | tuple | set) else value


def test_types_of_values_are_kept_where_langgraphs_own_saver_drops_them(saver: SQLSaver) -> None:
    graph, config = team().compile(checkpointer=saver), config_of("t")
    graph.invoke({"log": []}, config)

    assert graph.get_state(config).values["log"][1:3] == [(0, {0}), (1, {1})]


class Source(BaseModel):
    name: str


class Found(TypedDict):
    source: Source


class Report(BaseModel):
    title: str
    sources: tuple[str, ...] = ()


class Typed(TypedDict):
    report: Report
    anything: Any


def typed_graph() -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(Typed)
    graph.add_node(
        "write", lambda state: {"report": Report(title="t", sources=("a",)), "anything": Report(title="any")}
    )
    graph.add_edge(START, "write")
    return graph


def test_models_come_back_as_models_even_in_a_field_of_any_type(saver: SQLSaver) -> None:
    graph = typed_graph()
    compiled = graph.compile(checkpointer=saver.with_types(*types_of_graph(graph)))

    compiled.invoke({"anything": 1}, config_of("t"))

    found = compiled.get_state(config_of("t")).values
    assert found == {"report": Report(title="t", sources=("a",)), "anything": Report(title="any")}


def test_the_classes_of_nested_graphs_are_found_too(saver: SQLSaver) -> None:
    inner = StateGraph(Found)
    inner.add_node("find", lambda state: {"source": Source(name="a")})
    inner.add_edge(START, "find")
    outer = StateGraph(State)
    outer.add_node("inner", inner.compile(checkpointer=True))
    outer.add_edge(START, "inner")

    knowing = saver.with_types(*types_of_graph(outer))
    outer.compile(checkpointer=knowing).invoke({"number": 1}, config_of("t"))

    newest = knowing.get_tuple(config_of("t", namespace="inner"))
    assert newest is not None
    assert newest.checkpoint["channel_values"] == {"source": Source(name="a")}


@pytest.mark.parametrize("invoke", [by_invoke, by_ainvoke])
def test_a_model_that_nobody_registered_ends_the_run_with_its_path(saver: SQLSaver, invoke: Invoke) -> None:
    compiled = typed_graph().compile(checkpointer=saver)

    with pytest.raises(Unserializable, match=r"cannot store (report|anything): .*Report is not .*types=\(Report,\)"):
        invoke(compiled, {"anything": 1}, config_of("t"))


def test_langgraphs_strict_mode_registers_the_schemas_by_itself() -> None:
    script = (
        "from tests.storage.sql.checkpoints.test_saver_in_graphs import SQLSaver, Report, config_of, typed_graph\n"
        "saver = SQLSaver.from_url('sqlite://')\n"
        "graph = typed_graph().compile(checkpointer=saver)\n"
        "graph.invoke({'anything': 1}, config_of('t'))\n"
        "print(graph.get_state(config_of('t')).values['report'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true", "PYTHONPATH": os.curdir},
    )

    assert done.stdout == "title='t' sources=('a',)\n"


def test_a_failed_node_is_stored_and_runs_again_alone(saver: SQLSaver) -> None:
    runs: list[str] = []
    is_done = Event()

    def good(state: State) -> State:
        runs.append("good")
        is_done.set()
        return {"log": ["good"]}

    def bad(state: State) -> State:
        is_done.wait(5)  # LangGraph cancels what has not begun when another node fails
        runs.append("bad")
        if runs.count("bad") == 1:
            raise ValueError("first time", {1})
        return {"log": ["bad"]}

    graph = StateGraph(State)
    graph.add_node("good", good)
    graph.add_node("bad", bad)
    graph.add_edge(START, "good")
    graph.add_edge(START, "bad")
    compiled = graph.compile(checkpointer=saver)
    config = config_of("t")
    with pytest.raises(ValueError, match="first time"):
        compiled.invoke({"log": []}, config, durability="sync")

    (error,) = [task.error for task in compiled.get_state(config).tasks if task.error]
    assert str(error) == "ValueError: ('first time', {1})"
    assert sorted(compiled.invoke(None, config)["log"]) == ["bad", "good"]
    assert sorted(runs) == ["bad", "bad", "good"]


class LeftBeforeItsCheckpoint(SQLSaver):
    """Stores what the tasks of superstep 2 wrote, but lets the checkpoint after it wait for ever."""

    waits: asyncio.Event | None = None

    async def aput(self, config: RunnableConfig, checkpoint: Any, metadata: Any, new_versions: Any) -> RunnableConfig:
        if metadata["step"] == 2 and self.waits is not None:
            self.waits.set()
            await asyncio.Event().wait()
        return await super().aput(config, checkpoint, metadata, new_versions)


async def test_a_call_that_is_cancelled_before_a_checkpoint_goes_on_though_nothing_seems_to_come_next(
    database_url: str,
) -> None:
    done = list[int]()

    def add(state: State) -> State:
        done.append(state.get("number", 0))
        return {"log": done[-1:]}

    graph = StateGraph(State)
    graph.add_node("plan", lambda state: {"log": []})
    graph.add_node("add", add)
    graph.add_node("end", lambda state: {"answer": "done"})
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda state: [Send("add", {"number": n}) for n in range(8)], ["add"])
    graph.add_edge("add", "end")

    with LeftBeforeItsCheckpoint.from_url(database_url) as saver:
        team, saver.waits = graph.compile(checkpointer=saver), asyncio.Event()
        call = asyncio.ensure_future(team.ainvoke({}, config_of("t"), durability="sync"))
        await saver.waits.wait()
        call.cancel()
        await asyncio.wait({call})
        saver.waits, left = None, await team.aget_state(config_of("t"))

        assert (left.next, left.values["log"], len(left.tasks)) == ((), [*range(8)], 8)
        await team.ainvoke(None, config_of("t"), durability="sync")
        ended = await team.aget_state(config_of("t"))

    assert (ended.tasks, ended.values["log"], ended.values["answer"]) == ((), [*range(8)], "done")
    assert sorted(done) == [*range(8)]  # none has run again
