"""Cycles of delegation are refused in nested teams, functions, tools and swarms; what only looks alike is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import Stage, Tier, hierarchy, pipeline, supervisor, swarm
from guardgraph.guards import Cycle, Depth, Guard, Retry, Schema
from guardgraph.state import Message, Outcome, Plan, Reply, Request, Subtask
from tests.graphs.teams import WAYS, gather, listed, plan_of, planner, worker

CALLS: list[str] = []
STOPPED = "not reached, since the run was stopped: "


@pytest.fixture(autouse=True)
def no_calls() -> None:
    CALLS.clear()


def asking(other: str, teams: dict[str, Any], goal: str = "{}") -> Agent:
    """Return an agent that gives what it gets to another team."""

    def ask(request: Request) -> Any:
        CALLS.append(other)
        return teams[other].invoke({"task": goal.format(request.task.goal)})["outcome"]

    return Agent(f"ask-{other}", run=ask)


async def _aask(teams: dict[str, Any], other: str, request: Request) -> Any:
    CALLS.append(other)
    return (await teams[other].ainvoke({"task": request.task.goal}))["outcome"]


def aasking(other: str, teams: dict[str, Any]) -> Agent:
    async def ask(request: Request) -> Any:
        return await _aask(teams, other, request)

    return Agent(f"ask-{other}", run=ask)


def ring(names: str, make: Any = asking, guards: Sequence[Guard] = (Depth(40), Cycle()), **facts: Any) -> Any:
    """Return the first of several teams of which each asks the next one, and the last one the first."""
    teams: dict[str, Any] = {}
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        teams[name] = pipeline([Stage(make(other, teams, **facts))], guards=guards, name=name).compile()
    return teams[names[0]]


@pytest.mark.parametrize("make", [asking, aasking])
@pytest.mark.parametrize("names", ["a", "ab", "abc"])
def test_teams_that_ask_each_other_are_stopped_when_the_first_gets_its_work_back(names: str, make: Any) -> None:
    outcome: Outcome = WAYS["async"](ring(names, make), "Sum up", None)

    assert len(CALLS) == len(names)
    assert outcome.status == "failed"
    assert any(gap.guard == "Cycle" for gap in outcome.gaps)
    assert outcome.gaps[0].reason == f"{STOPPED}'a' would get the work again that it has passed on: {_way(names)}"


def _way(names: str) -> str:
    steps = [f"{name} -> ask-{other}" for name, other in zip(names, names[1:] + names[:1], strict=True)]
    return " -> ".join([*steps, names[0]])


def test_without_the_guard_only_the_depth_ends_it() -> None:
    WAYS["sync"](ring("ab", guards=[Depth(12)]), "Sum up", None)

    assert len(CALLS) == 12


@pytest.mark.parametrize("way", WAYS)
def test_a_team_that_gets_other_work_in_its_own_chain_goes_on(way: str) -> None:
    """Each level does a smaller part of the work: that is a recursion, not a cycle."""
    teams: dict[str, Any] = {}

    def split(request: Request) -> Any:
        size = int(str(request.task.inputs["size"]))
        CALLS.append(str(size))
        if size == 1:
            return [1]
        part = teams["half"].invoke({"task": {"goal": "Count", "inputs": {"size": size // 2}}})["outcome"]
        return [*part.value, size]

    teams["half"] = pipeline([Stage(Agent("split", run=split))], guards=[Cycle()], name="half").compile()
    outcome = WAYS[way](teams["half"], {"goal": "Count", "inputs": {"size": 8}}, None)

    assert (outcome.status, outcome.value) == ("completed", [1, 2, 4, 8])


def test_the_same_goal_with_other_background_is_other_work() -> None:
    teams: dict[str, Any] = {}

    def read(request: Request) -> Any:
        left = int(str(request.context[0].value))
        item = {"kind": "background", "title": "part", "value": left - 1}
        if left == 0:
            return "read"
        return teams["reader"].invoke({"task": request.task.goal, "background": [item]})["outcome"]

    teams["reader"] = pipeline([Stage(Agent("read", run=read))], guards=[Cycle()], name="reader").compile()
    item = {"kind": "background", "title": "part", "value": 3}
    outcome = teams["reader"].invoke({"task": "Read", "background": [item]})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", "read")


def test_a_worker_of_the_same_name_in_a_nested_team_is_another_agent() -> None:
    inner = supervisor(
        planner=planner(plan_of("a")), workers=[worker("worker")], synthesizer=Agent("writer", run=gather)
    )
    outer = supervisor(
        planner=planner(plan_of("a")), workers=[Agent("worker", run=inner.compile())],
        synthesizer=Agent("writer", run=gather),
    )  # fmt: skip
    outcome = outer.compile().invoke({"task": "do a"})["outcome"]

    assert outcome.status == "completed"
    assert listed(outcome) == [["done: do a"]]


def test_a_tool_that_calls_its_own_team_is_refused() -> None:
    teams: dict[str, Any] = {}

    @tool
    def consult(question: str) -> str:
        """Ask the team."""
        CALLS.append(question)
        outcome: Outcome = teams["desk"].invoke({"task": question})["outcome"]
        return f"{outcome.status}: {outcome.reason}"

    def use(request: Request) -> str:
        return consult.invoke({"question": request.task.goal.upper()})

    teams["desk"] = pipeline([Stage(Agent("clerk", run=use))], guards=[Cycle(), Depth(40)], name="desk").compile()
    outcome = teams["desk"].invoke({"task": "What now?"})["outcome"]

    assert CALLS == ["WHAT NOW?"]
    assert "failed: 'desk' would get the work again" in str(outcome.value)


def test_an_agent_that_is_in_two_teams_is_not_sent_its_own_work() -> None:
    """The team that it asks is another one, and gets the work for the first time; only the agent had it already."""
    teams: dict[str, Any] = {}

    def hand(request: Request) -> Any:
        CALLS.append("hand")
        return teams["desk"].invoke({"task": request.task.goal})["outcome"]

    shared = Agent("shared", run=hand)
    teams["desk"] = pipeline([Stage(shared)], guards=[Cycle(), Depth(9)], name="desk").compile()
    front = pipeline([Stage(shared)], guards=[Depth(9)], name="front").compile()
    outcome = front.invoke({"task": "T"})["outcome"]

    assert CALLS == ["hand"]
    assert {(gap.subtask, gap.guard) for gap in outcome.gaps} == {("shared", "Cycle")}
    assert outcome.gaps[0].reason == "'shared' would get the work again that it has passed on: shared -> desk -> shared"


def test_a_retry_another_round_and_a_second_agent_are_no_cycles() -> None:
    seen: list[int] = []

    def late(request: Request) -> Any:
        seen.append(request.attempt)
        return 1 if request.attempt < 3 else "so"

    guards = [Cycle(), Schema(str | list, on_trip=Retry(3))]
    plan = Plan(subtasks=(Subtask(id="x", goal="G"), Subtask(id="y", goal="G")))
    graph = supervisor(
        planner=planner(plan, plan_of("again")), workers=[Agent("one", run=late), Agent("two", run=late)],
        synthesizer=Agent("writer", run=gather), guards=guards,
    ).compile()  # fmt: skip
    outcome = graph.invoke({"task": "G"})["outcome"]

    assert outcome.status == "completed"
    assert len(listed(outcome)) == 3


def test_a_hierarchy_that_passes_one_goal_down_is_no_cycle() -> None:
    def passes(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="s", goal=request.task.goal),)) if request.round == 1 else Plan()

    tier = Tier(Agent("lead", run=passes), [worker("hand")])
    top = Tier(Agent("chief", run=passes), [tier])
    outcome = hierarchy(top).compile().invoke({"task": "do it"})["outcome"]

    assert outcome.status == "completed"


@pytest.mark.parametrize("way", WAYS)
def test_the_chain_is_known_after_an_interrupt(way: str) -> None:
    teams: dict[str, Any] = {}

    def ask(request: Request) -> Any:
        interrupt("go on?")
        CALLS.append("asked")
        return teams["a"].invoke({"task": request.task.goal})["outcome"]

    build = pipeline([Stage(Agent("ask", run=ask))], guards=[Cycle(), Depth(9)], name="a")
    teams["a"] = build.compile()
    graph = build.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"task": "T"}, config)
    outcome: Outcome = graph.invoke(Command(resume="yes"), config)["outcome"]

    assert CALLS == ["asked"]
    assert outcome.status == "failed"
    assert "Cycle" in {gap.guard for gap in outcome.gaps}


# Swarms


def over(to: str, content: Any = None, **facts: Any) -> Reply:
    return Reply(messages=(Message(recipients=(to,), performative="hand_off", content=content),), **facts)


def peers(**run: Any) -> list[Agent]:
    return [Agent(name, run=function) for name, function in run.items()]


def counting(name: str, answer: Any) -> Any:
    def run(request: Request) -> Any:
        CALLS.append(name)
        return answer(request) if callable(answer) else answer

    return run


def ring_of(names: str, content: Any) -> list[Agent]:
    return peers(
        **{one: counting(one, over(two, content)) for one, two in zip(names, names[1:] + names[:1], strict=True)}
    )


@pytest.mark.parametrize("names", ["ab", "abc", "abcd"])
def test_work_that_is_handed_over_back_to_the_first_is_a_cycle(names: str) -> None:
    state = swarm(ring_of(names, {"ticket": 7})).compile().invoke({"task": "T"})

    assert "".join(CALLS) == names
    assert state["outcome"].stopped_by == "Cycle"
    way = " -> ".join([*names, names[0]])
    assert [one.reason for one in swarm_trips(names)] == [f"the same work is handed over in a cycle: {way}"]


def swarm_trips(names: str) -> list[Any]:
    graph = swarm(ring_of(names, {"ticket": 7})).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"task": "T"}, config)
    return [one for one in graph.get_state(config).values["verdicts"] if one.action == "trip"]


def test_a_cycle_is_broken_by_an_imposed_order() -> None:
    def ends(request: Request) -> Any:
        CALLS.append("c")
        return over("a", "T7") if len(CALLS) < 4 else "done"

    members = [*peers(a=counting("a", over("b", "T7")), b=counting("b", over("c", "T7"))), *peers(c=ends)]
    outcome = swarm(members, tie_breaker=[members[2]]).compile().invoke({"task": "T"})["outcome"]

    assert CALLS == ["a", "b", "c", "c"]
    assert (outcome.value, outcome.stopped_by) == ("done", "Cycle")


def test_who_adds_something_may_hand_back() -> None:
    def second(request: Request) -> Any:
        found = Message(recipients=("a",), content="the price is ten")
        return Reply(messages=(found, Message(recipients=("a",), performative="hand_off", content="T7")))

    def first(request: Request) -> Any:
        return "ten" if any(one.content == "the price is ten" for one in request.messages) else over("b", "T7")

    outcome = swarm(peers(a=first, b=second)).compile().invoke({"task": "T"})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", "ten")


def test_other_content_or_none_is_no_cycle() -> None:
    for contents in (("T7", "T8"), (None, None)):
        there, back = contents

        def first(request: Request, there: Any = there) -> Any:
            return "done" if request.messages else over("b", there)

        outcome = swarm(peers(a=first, b=lambda _, back=back: over("a", back))).compile().invoke({"task": "T"})
        assert (outcome["outcome"].status, outcome["outcome"].value) == ("completed", "done")


@pytest.mark.parametrize("names", ["ab", "abc", "abcde"])
def test_a_wait_of_any_number_of_peers_is_broken_by_an_imposed_order(names: str) -> None:
    def waits(one: str, two: str) -> Any:
        def run(request: Request) -> Any:
            if any(message.sender == "team" for message in request.messages):
                return f"{one} goes on"
            question = Message(recipients=(two,), performative="ask", content="and you?")
            return Reply(messages=(question,)) if request.round == 1 else Reply()

        return run

    members = peers(**{one: waits(one, two) for one, two in zip(names, names[1:] + names[:1], strict=True)})
    graph = swarm(members, start=members, tie_breaker=[members[0], members[-1]]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    outcome = graph.invoke({"task": "T"}, config)["outcome"]

    assert (outcome.status, outcome.value) == ("completed", f"{names[-1]} goes on")
    way = " -> ".join([*names, names[0]])
    trips = [one for one in graph.get_state(config).values["verdicts"] if one.action == "trip"]
    assert [(one.guard, one.reason) for one in trips] == [("Deadlock", f"each waits for an answer of the next: {way}")]
