"""A guard none of whose gates a team has is refused when the team is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.graph import START, MessagesState, StateGraph

from guardgraph.agents import Agent, GuardMiddleware
from guardgraph.graphs import (
    Rule,
    Team,
    Tier,
    auction,
    consensus,
    guarded,
    hierarchy,
    lint,
    pipeline,
    router,
    supervisor,
    swarm,
)
from guardgraph.guards import AllOf, Confidence, Convergence, Depth, Guard, GuardContext, Limits, Schema, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Gate


@guard(at="round")
def plans(view: GuardContext) -> str | None:
    return None


@guard(at=("round", "exit"))
def plans_and_drafts(view: GuardContext) -> str | None:
    return None


def agent(name: str, **fields: Any) -> Agent:
    return Agent(name, run=lambda request: 1, **fields)


def a_pipeline(guards: Sequence[Guard] | None) -> Any:
    return pipeline([agent("a"), agent("b")], guards=guards)


def a_supervisor(guards: Sequence[Guard] | None) -> Any:
    return supervisor(planner=agent("p"), workers=[agent("w")], synthesizer=agent("s"), guards=guards)


PATTERNS: dict[str, Any] = {
    "pipeline": a_pipeline,
    "supervisor": a_supervisor,
    "supervisor alone": lambda guards: supervisor(planner=agent("p"), workers=[agent("w")], guards=guards),
    "router": lambda guards: router(
        [agent("a")], fallback=agent("b"), rules=[Rule("any", "a", lambda task: True)], guards=guards
    ),
    "consensus": lambda guards: consensus([agent("a"), agent("b"), agent("c")], judge=agent("j"), guards=guards),
    "swarm": lambda guards: swarm([agent("a"), agent("b")], guards=guards),
    "hierarchy": lambda guards: hierarchy(Tier(agent("l"), [Tier(agent("m"), [agent("w")])]), guards=guards),
    "auction": lambda guards: auction([agent("a"), agent("b")], guards=guards),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("guards", [None, [], [plans_and_drafts], [Limits()], [Depth(), Schema()]])
def test_guards_that_judge_somewhere_are_taken_by_every_pattern(pattern: str, guards: Any) -> None:
    PATTERNS[pattern](guards).compile()


@pytest.mark.parametrize("pattern", ["pipeline", "consensus", "swarm"])
@pytest.mark.parametrize(
    "idle", [plans, plans.only(categories={"financial"}), plans & Depth(), plans | plans_and_drafts.only(agents={"a"})]
)
def test_a_guard_of_plans_is_refused_where_nothing_plans(pattern: str, idle: Guard) -> None:
    with pytest.raises(
        BadGraph, match=rf"{pattern}: guard 'plans.*' judges at 'round', and this team has only the gates"
    ):
        PATTERNS[pattern]([Depth(), idle])


def test_the_error_names_the_guard_its_gates_and_those_that_exist() -> None:
    with pytest.raises(BadGraph) as caught:
        a_pipeline([plans])

    assert str(caught.value) == (
        "pipeline: guard 'plans' judges at 'round', and this team has only the gates 'admission', 'dispatch', "
        "'handoff', 'exit', 'model', 'tool': it would never judge; remove it, or change its gates"
    )


@pytest.mark.parametrize("pattern", ["supervisor", "router", "hierarchy", "auction"])
def test_it_is_taken_where_plans_are_judged(pattern: str) -> None:
    PATTERNS[pattern]([plans]).compile()


def test_a_guard_for_an_agent_whose_work_is_judged_elsewhere_is_refused() -> None:
    with pytest.raises(BadGraph) as caught:
        a_supervisor([Confidence().only(agents={"p"})])

    assert str(caught.value) == (
        "supervisor: guard 'Confidence' for 'p' only judges at 'handoff'; here their work is judged at 'round', "
        "'model', 'tool'"
    )
    a_supervisor([Confidence().only(agents={"p", "w"})])
    a_supervisor([Schema().only(agents={"s"})])


def test_a_cap_of_rounds_is_kept_by_a_team_without_rounds() -> None:
    found = lint(a_pipeline([Convergence()]))

    assert [(one.code, one.severity) for one in found if one.code == "idle-guard"] == [("idle-guard", "note")]


def test_what_narrows_the_allowance_holds_without_a_gate() -> None:
    class Cap(Depth):
        gates = frozenset[Gate]({"round"})

    a_pipeline([Cap(2), Cap(3) | Cap(4)])


def test_a_team_of_ones_own_has_the_gates_that_were_added() -> None:
    def own(guards: list[Guard]) -> Any:
        worker = agent("a")
        team = Team("own", guards=guards, entry=lambda gate: "look", destinations=["look"])
        team.add_node("look", lambda state: {}, to=worker).add_agents([worker], gate="handoff")
        return team.add_gate("handoff", agents=[worker], route=lambda gate: gate.conclude()).build()

    with pytest.raises(BadGraph, match="own: guard 'plans' judges at 'round'"):
        own([plans])
    assert "plans" not in str(own([plans_and_drafts]).nodes["guard_dispatch_look"].metadata)


def test_a_graph_and_an_agents_loop_name_the_gates_that_they_have() -> None:
    graph: Any = StateGraph(MessagesState)
    graph.add_node("a", lambda state: {}).add_edge(START, "a")

    with pytest.raises(BadGraph, match=r"guard 'plans' judges at round, .*; its gates are admission, dispatch, exit"):
        guarded(graph.compile(), [plans])
    with pytest.raises(BadGraph, match=r"guard 'plans' stops nothing .*: it judges at round, and there are the gates"):
        create_agent(ScriptedModel(replies=["a"]), middleware=[GuardMiddleware([plans])])


def test_all_of_is_the_same_as_its_parts_in_a_list() -> None:
    with pytest.raises(BadGraph, match="guard 'plans' judges"):
        a_pipeline([AllOf((Depth(), plans))])
