"""What a caller configures of a run, and the store that its agents find."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.config import get_config, get_store
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.state import BadInput, Plan, Request, Subtask

HOWS = pytest.mark.parametrize("how", ["run", "arun", "stream", "astream"])


class Seen(BaseCallbackHandler):
    """Notes the names and the tags of what begins."""

    def __init__(self) -> None:
        self.names: list[Any] = []
        self.tags: list[list[str]] = []
        self.metadata: list[dict[str, Any]] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.names.append(kwargs.get("name"))
        self.tags.append(kwargs.get("tags") or [])
        self.metadata.append(kwargs.get("metadata") or {})


def team(worker: Agent, parts: int = 1) -> Any:
    plan = Plan(subtasks=tuple(Subtask(id=f"s{n}", goal=f"g{n}") for n in range(parts)))
    return supervisor(
        planner=Agent("planner", run=lambda r: plan if r.round == 1 else Plan()), workers=[worker], concurrency=None
    )


def run_on(runner: Runner, how: str, **given: Any) -> Run:
    async def last() -> Any:
        return [part async for part in runner.astream("graph", "t", **given)][-1]

    match how:
        case "run":
            return runner.run("graph", "t", **given)
        case "arun":
            return asyncio.run(runner.arun("graph", "t", **given))
        case "stream":
            return [*runner.stream("graph", "t", **given)][-1]
        case _:
            return asyncio.run(last())


@HOWS
def test_a_callers_config_reaches_the_graph_its_agents_and_the_checkpoints(sqlite_url: str, how: str) -> None:
    found: list[RunnableConfig] = []

    def work(request: Request) -> str:
        found.append(get_config())
        return "done"

    seen = Seen()
    config: RunnableConfig = {
        "callbacks": [seen],
        "tags": ["nightly"],
        "metadata": {"tenant": "a"},
        "run_name": "mine",
        "configurable": {"customer": 7},
    }
    with Runner(sqlite_url, graphs={"graph": lambda: team(Agent("worker", run=work))}) as runner:
        run = run_on(runner, how, config=config, thread_id="thread")
        stored = next(runner.saver.list({"configurable": {"thread_id": "thread"}}, filter={"tenant": "a"}))

    assert run.status == "completed"
    assert seen.names[0] == "mine"
    assert "nightly" in seen.tags[0]
    assert "worker" in seen.names
    assert found[0].get("configurable", {})["customer"] == 7
    metadata: Any = stored.metadata
    assert (metadata["run_id"], metadata["graph"], metadata["customer"]) == (run.run_id, "graph", 7)


@HOWS
def test_max_concurrency_is_the_callers(sqlite_url: str, how: str) -> None:
    at_work, most = 0, 0

    async def work(request: Request) -> str:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.01)
        at_work -= 1
        return "done"

    with Runner(sqlite_url, graphs={"graph": lambda: team(Agent("worker", run=work), parts=6)}) as runner:
        assert run_on(runner, how, config={"max_concurrency": 2}).status == "completed"

    assert most <= 2


def test_a_resumed_run_has_the_config_of_its_resume(sqlite_url: str) -> None:
    def work(request: Request) -> str:
        answer = interrupt("?")
        return f"{answer} {get_config().get('configurable', {}).get('customer')}"

    with Runner(sqlite_url, graphs={"graph": lambda: team(Agent("worker", run=work))}) as runner:
        run = runner.run("graph", "t", config={"configurable": {"thread_id": "named"}})
        assert run.thread_id == "named"
        answers = {run.waiting[0].id: "yes"}
        done = runner.resume("named", answers=answers, config={"configurable": {"customer": 8}})

    assert done.outcome is not None
    assert done.outcome.value == [{"subtask": "s0", "agent": "worker", "value": "yes 8"}]


def test_what_the_runner_sets_itself_wins_and_that_is_logged(sqlite_url: str, caplog: pytest.LogCaptureFixture) -> None:
    config: RunnableConfig = {"metadata": {"run_id": "mine", "graph": "graph"}}
    with (
        caplog.at_level(logging.WARNING),
        Runner(sqlite_url, graphs={"graph": lambda: team(Agent("worker", run=str))}) as runner,
    ):
        run = runner.run("graph", "t", config=config, thread_id="t")
        assert runner.history("t")
        [stored] = runner.saver.list({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, limit=1)

    assert dict(stored.metadata)["run_id"] == run.run_id
    assert "config['metadata']: the runner sets run_id itself; what was given is not used" in caplog.text


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (7, r"`config` is a RunnableConfig, as \{'tags': \['nightly'\]\}; got 7"),
        ({"tag": ["a"]}, r"`config` holds 'tag'; its keys are callbacks, configurable, "),
        ({"metadata": []}, r"`config\['metadata'\]` is a mapping; got \[\]"),
        ({"configurable": {"checkpoint_id": "1"}}, "holds 'checkpoint_id'; a runner goes on from the latest"),
        ({"configurable": {"thread_id": "other"}}, "`thread_id` is 't', but `config` names the thread 'other'"),
        ({"max_concurrency": 0}, r"`config\['max_concurrency'\]` must be a whole number of at least 1; got 0"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_before_anything_is_stored(
    sqlite_url: str, config: Any, why: str
) -> None:
    with Runner(sqlite_url, graphs={"graph": lambda: team(Agent("worker", run=str))}) as runner:
        with pytest.raises(BadInput, match=why):
            runner.run("graph", "t", config=config, thread_id="t")
        assert runner.list_runs() == []


@tool
def remembers(name: str) -> str:
    """Look a name up."""
    item = get_store().get(("names",), name)
    return str(item.value["is"]) if item else "nothing"


def calls_a_tool(messages: Any) -> AIMessage:
    if isinstance(messages[-1], ToolMessage):
        return AIMessage(str(messages[-1].content))
    return AIMessage("", tool_calls=[{"name": "remembers", "args": {"name": "a"}, "id": "1"}])


def as_it_is() -> Agent:
    return Agent("worker", run=create_agent(ScriptedModel(replies=calls_a_tool), tools=[remembers]))


def by_a_function() -> Agent:
    inner = create_agent(ScriptedModel(replies=calls_a_tool), tools=[remembers])
    return Agent("worker", run=lambda r: inner.invoke({"messages": [HumanMessage("?")]})["messages"][-1].text)


def in_a_team() -> Agent:
    return Agent("low", run=team(as_it_is()).compile())


def in_a_plain_function() -> Agent:
    return Agent("worker", run=lambda r: remembers.invoke({"name": "a"}))


@HOWS
@pytest.mark.parametrize("make", [as_it_is, by_a_function, in_a_team, in_a_plain_function])
def test_agents_and_their_tools_find_the_runners_store(sqlite_url: str, make: Any, how: str) -> None:
    store = InMemoryStore()
    store.put(("names",), "a", {"is": "found in the store"})
    with Runner(sqlite_url, graphs={"graph": lambda: team(make())}, store=store) as runner:
        run = run_on(runner, how)

    assert "found in the store" in str(run.outcome and run.outcome.value), run


def test_what_is_no_store_is_refused(sqlite_url: str) -> None:
    with pytest.raises(BadInput, match=r"`store` is a LangGraph store, as InMemoryStore\(\); got 'x'"):
        Runner(sqlite_url, store="x")  # type: ignore[arg-type]
