from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Depth, Grounding
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, BadInput, Evidence, Plan, Reply, Request, Subtask
from guardgraph.storage import SQLSaver
from tests.graphs.teams import WAYS, echo, listed, plan_of, team, worker


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", ["the task", {"goal": "the task"}, {"goal": "the task", "stakes": "high"}])
def test_a_task_is_a_text_or_json(way: str, task: Any) -> None:
    assert WAYS[way](team(plan_of("a")).compile(), task, None).value == ["done: do a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": {"gaol": "the task"}}, "gaol"),
        ({"task": {"goal": "  "}}, "the goal is empty"),
        ({"task": 7}, "got int"),
        ({"background": []}, "no task"),
    ],
)
def test_bad_input_says_what_is_wrong(given: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        team(plan_of("a")).compile().invoke(given)


@pytest.mark.parametrize("wrong", [Depth, Budget, len, "Depth", None])
def test_what_is_no_guard_is_refused_when_the_team_is_built(wrong: Any) -> None:
    with pytest.raises(BadGraph, match="`guards` holds"):
        team(plan_of("a"), guards=[wrong])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["memory", "sql", "none"])
def test_the_outcome_is_the_same_with_every_checkpointer(way: str, kind: str, tmp_path: Path) -> None:
    savers: dict[str, Callable[[], AbstractContextManager[Any]]] = {
        "memory": lambda: nullcontext(InMemorySaver()),
        "sql": lambda: SQLSaver.from_url(f"sqlite:///{tmp_path / 'runs.db'}"),
        "none": nullcontext,
    }
    low = team(plan_of("b", "c"), guards=[], name="low").compile()
    config = {"configurable": {"thread_id": "t"}}

    with savers[kind]() as saver:
        graph = team(plan_of("a"), plan_of("d"), workers=[Agent("low", run=low)]).compile(checkpointer=saver)
        first = WAYS[way](graph, "first", config)
        second = WAYS[way](graph, "second", config)

    assert (first.status, first.value) == ("completed", [["done: do b", "done: do c"]] * 2)
    assert (second.status, second.value, second.gaps) == (first.status, first.value, ())


def test_a_second_task_on_a_thread_gets_its_own_answer() -> None:
    graph = team(plan_of("a"), workers=[worker(run=lambda request: request.task.goal)]).compile(
        checkpointer=InMemorySaver()
    )
    config: Any = {"configurable": {"thread_id": "t"}}

    assert [graph.invoke({"task": goal}, config)["outcome"].value for goal in ("one", "two")] == [["one"], ["two"]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("concurrency", [None, 4])
def test_two_hundred_subtasks_need_no_more_than_25_supersteps(way: str, concurrency: int | None) -> None:
    graph = team(plan_of(*(f"s{number}" for number in range(200))), concurrency=concurrency).compile()

    outcome = WAYS[way](graph, "the task", {"recursion_limit": 25})

    assert (outcome.status, len(listed(outcome))) == ("completed", 200)


class Peak:
    """Counts how many work at a time."""

    def __init__(self) -> None:
        self.now, self.most, self._lock = 0, 0, threading.Lock()

    def __call__(self, request: Request) -> str:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self._lock:
            self.now -= 1
        return "done"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cap", [1, 3])
def test_slots_cap_the_whole_tree_and_never_deadlock(way: str, cap: int) -> None:
    peak = Peak()
    leaf = worker("leaf", peak)
    low = team(plan_of("a", "b", "c"), workers=[leaf], guards=[], name="low", concurrency=8).compile()
    mid = team(plan_of("m", "n"), workers=[Agent("low", run=low)], guards=[], name="mid", concurrency=8).compile()
    top = team(plan_of("x", "y"), workers=[Agent("mid", run=mid)], guards=[], concurrency=cap).compile()

    outcome = WAYS[way](top, "the task", None)

    assert outcome.status == "completed"
    assert str(outcome.value).count("done") == 12
    assert peak.most <= cap


@pytest.mark.parametrize("way", WAYS)
def test_a_timeout_begins_when_the_slot_is_held(way: str) -> None:
    def naps(request: Request) -> str:
        time.sleep(0.15)
        return "rested"

    graph = team(plan_of(*"abcde"), workers=[worker(run=naps, timeout=0.4)], concurrency=1).compile()

    assert WAYS[way](graph, "the task", None).value == ["rested"] * 5


def test_dependent_subtasks_come_after_what_they_need_and_see_its_results() -> None:
    seen: dict[str, list[Any]] = {}

    def notes(request: Request) -> str:
        seen[request.goal] = [piece.value for piece in request.results]
        return echo(request)

    plan = Plan(
        subtasks=(
            Subtask(id="last", goal="do last", depends_on=("first",)),
            Subtask(id="first", goal="do first"),
            Subtask(id="never", goal="do never", depends_on=("missing",)),
        )
    )
    outcome = WAYS["sync"](team(plan, workers=[worker(run=notes)]).compile(), "the task", None)

    assert list(seen.items()) == [("do first", []), ("do last", ["done: do first"])]
    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("never", "it depends on what is missing: missing")]


def test_what_matters_most_is_sent_when_the_budget_is_short() -> None:
    plan = Plan(subtasks=tuple(Subtask(id=f"s{n}", goal=f"g{n}", priority=n) for n in range(10)))
    model = ScriptedModel(replies=lambda _: "said", input_tokens=80, output_tokens=20)
    agent = Agent("worker", model=model, max_tokens=20, expected_cost=100)
    graph = team(plan, workers=[agent], guards=[Budget(tokens=500)], synthesizer=None).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert sorted(found["subtask"] for found in listed(outcome)) == ["s6", "s7", "s8", "s9"]


def test_a_planner_without_structured_output_is_told_the_schema_in_words() -> None:
    said = '{"subtasks": [{"id": "a", "goal": "do a"}]}'
    model = GenericFakeChatModel(messages=iter([AIMessage(said), AIMessage('{"subtasks": []}')]))
    graph = supervisor(planner=Agent("planner", model=model), workers=[worker()]).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert outcome.status == "completed"
    assert outcome.value == [{"subtask": "a", "agent": "worker", "value": "done: do a"}]


def cites(source: str) -> Callable[[Request], Reply]:
    return lambda _: Reply(value="a claim", evidence=(Evidence(source=source, quote="the sky is blue"),))


def test_a_source_that_cannot_be_read_refuses_the_claim_and_the_run_goes_on() -> None:
    def breaks(name: str) -> str | None:
        raise OSError("the disk is gone")

    graph = team(plan_of("a"), workers=[worker(run=cites("book"))], guards=[Grounding(breaks)]).compile()

    outcome = WAYS["sync"](graph, "the task", None)

    assert (outcome.status, outcome.gaps[0].guard) == ("failed", "Grounding")
    assert "OSError: the disk is gone" in outcome.gaps[0].reason


def test_two_grounding_guards_do_not_share_their_sources() -> None:
    strict, lax = Grounding({"book": "nothing of it"}), Grounding({"book": "the sky is blue"})
    for guards in ([strict, lax], [lax, strict]):
        graph = team(plan_of("a"), workers=[worker(run=cites("book"))], guards=guards).compile()

        assert WAYS["sync"](graph, "the task", None).status == "failed"


class Settings(TypedDict):
    """A user's own context."""

    word: str


@tool
def own_word(runtime: ToolRuntime[Settings, Any]) -> str:
    """Tell the word of the context."""
    return runtime.context["word"]


@pytest.mark.parametrize("way", WAYS)
def test_a_tool_gets_the_users_context_through_the_team(way: str) -> None:
    def talk(messages: list[Any]) -> AIMessage | str:
        if messages[-1].type == "tool":
            return f"heard {messages[-1].text}"
        return AIMessage("", tool_calls=[tool_call(name="own_word", args={}, id="c1")])

    agent = create_agent(ScriptedModel(replies=talk), [own_word], context_schema=Settings)
    graph = team(plan_of("a"), workers=[Agent("worker", run=agent)]).compile()
    given: Any = {"task": "the task"}

    context: Any = {"word": "owl"}
    ways: dict[str, Callable[[], Any]] = {
        "sync": lambda: graph.invoke(given, context=context),
        "async": lambda: asyncio.run(graph.ainvoke(given, context=context)),
    }
    told = ways[way]()

    assert told["outcome"].value == ["heard owl"]


def edges(graph: Any, **facts: Any) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in graph.get_graph(**facts).edges}


def test_without_guards_and_second_attempts_nothing_is_drawn_that_never_happens() -> None:
    assert edges(team(plan_of("a"), guards=[]).compile()) == {
        ("__start__", "guard_admission"),
        ("guard_admission", "planner"),
        ("guard_admission", "guard_exit"),
        ("planner", "guard_dispatch"),
        ("guard_dispatch", "worker"),
        ("guard_dispatch", "planner"),
        ("guard_dispatch", "writer"),
        ("guard_dispatch", "guard_exit"),
        ("worker", "guard_handoff"),
        ("guard_handoff", "guard_dispatch"),
        ("guard_handoff", "planner"),
        ("guard_handoff", "writer"),
        ("guard_handoff", "guard_exit"),
        ("writer", "guard_exit"),
        ("guard_exit", "__end__"),
    }


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_way_back_is_drawn_for_those_who_may_try_again(attempts: int) -> None:
    staff = [worker("a", attempts=attempts), worker("b", fallback=worker("c"))]
    drawn = edges(team(plan_of("a"), workers=staff, guards=[]).compile())

    assert {target for source, target in drawn if source == "guard_handoff" and len(target) == 1} == (
        {"a", "c"} if attempts == 2 else {"c"}
    )


def test_the_drawing_shows_the_gates_and_nothing_floats() -> None:
    graph = team(plan_of("a")).compile()
    drawn = edges(graph)

    assert {name for edge in drawn for name in edge} == set(graph.get_graph().nodes)
    assert drawn == {
        ("__start__", "guard_admission"),
        ("guard_admission", "planner"),
        ("guard_admission", "guard_exit"),
        ("planner", "guard_dispatch"),
        ("guard_dispatch", "worker"),
        ("guard_dispatch", "planner"),
        ("guard_dispatch", "writer"),
        ("guard_dispatch", "guard_exit"),
        ("worker", "guard_handoff"),
        ("guard_handoff", "worker"),
        ("guard_handoff", "guard_dispatch"),
        ("guard_handoff", "planner"),
        ("guard_handoff", "writer"),
        ("guard_handoff", "guard_exit"),
        ("writer", "guard_exit"),
        ("guard_exit", "writer"),
        ("guard_exit", "__end__"),
    }


@pytest.mark.parametrize(
    ("guards", "judging"),
    [
        (
            None,
            [
                "admission: Depth, Cycle",
                "round: Convergence; dispatch: Depth, Cycle, Limits",
                "handoff: Schema; dispatch: Depth, Cycle, Limits",
            ],
        ),
        ([], ["none"] * 3),
        ([Budget(tokens=9)], ["admission: Budget", "round: Budget; dispatch: Budget", "none"]),
        (
            [Budget(tokens=9, per="tenant", window="day")],
            [
                "admission: Budget [tenant's day]",
                "round: Budget [tenant's day]; dispatch: Budget [tenant's day]",
                "none",
            ],
        ),
    ],
)
def test_gates_stand_with_and_without_guards_and_say_which_judge(guards: Any, judging: list[str]) -> None:
    nodes = team(plan_of("a"), guards=guards).nodes

    gates = ["guard_admission", "guard_dispatch", "guard_handoff"]
    assert {name for name in nodes if name.startswith("guard_")} == {*gates, "guard_exit"}
    assert [(nodes[gate].metadata or {})["guards"] for gate in gates] == judging


def test_nested_teams_are_found_and_drawn() -> None:
    low = team(plan_of("a"), guards=[], name="low").compile()
    graph = team(plan_of("b"), workers=[Agent("low", run=low)]).compile()

    assert [name for name, _ in graph.get_subgraphs()] == ["low"]
    assert any("low:worker" in name for name in graph.get_graph(xray=True).nodes)


class Notes(BaseCallbackHandler):
    """A user's own handler."""

    def __init__(self) -> None:
        self.models, self.tags = 0, set[str]()

    def on_chat_model_start(self, serialized: Any, messages: Any, *, tags: Any = None, **kwargs: Any) -> None:
        self.models += 1
        self.tags.update(tags or ())


@pytest.mark.parametrize("way", WAYS)
def test_the_users_callbacks_and_tags_reach_every_model(way: str) -> None:
    notes = Notes()
    agent = Agent("worker", model=ScriptedModel(replies=lambda _: "said"))
    low = team(plan_of("a", "b"), workers=[agent], name="low").compile()
    graph = team(plan_of("x"), workers=[Agent("low", run=low)], guards=[Budget(tokens=9_000)]).compile()

    WAYS[way](graph, "the task", {"callbacks": [notes], "tags": ["mine"]})

    assert notes.models == 2
    assert "mine" in notes.tags


def test_tokens_stream_through_nested_teams() -> None:
    agent = Agent("worker", model=ScriptedModel(replies=lambda _: "one two three"))
    low = team(plan_of("a"), workers=[agent], name="low").compile()
    graph = team(plan_of("x"), workers=[Agent("low", run=low)], guards=[Budget(tokens=9_000)]).compile()

    given: Any = {"task": "the task"}
    streamed: Any = graph.stream(given, stream_mode="messages", subgraphs=True)
    said = "".join(part[0].text for _, part in streamed)

    assert "one two three" in said
