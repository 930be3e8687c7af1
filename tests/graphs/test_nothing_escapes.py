"""Ways of losing work, of overstepping a limit or of ending without an outcome that a pattern of one's own may try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.channels import Topic
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Stage, Team, pipeline, supervisor
from guardgraph.guards import Budget, Depth, Escalate, Guard, GuardContext, Limits, Retry, guard
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Outcome, PatternError, Plan, Request, RunState, Subtask

OK = Agent("w", run=lambda request: "ok")


def fails(request: Request) -> str:
    raise ValueError("lost")


def team_of(agents: Sequence[Agent], then: Any, *, guards: Sequence[Guard] = (), **facts: Any) -> Any:
    """Return agents that begin at once, with one gate behind them."""
    facts = {"entry": agents[:1], **facts}
    team = Team("own", guards=guards, **facts).add_agents(agents, gate="handoff")
    return team.add_gate("handoff", agents=agents, route=then, destinations=agents).build()


def outcome_of(graph: Any, config: Any = None) -> Outcome:
    return graph.compile().invoke({"task": "T"}, config)["outcome"]


def ends(gate: GateContext) -> Any:
    return gate.conclude()


def one_round(request: Request) -> Plan:
    return Plan(subtasks=(Subtask(id="s", goal="g"),)) if request.round == 1 else Plan()


def test_who_takes_over_closes_the_gap_of_that_attempt_alone() -> None:
    inner = pipeline([Agent("p", run=lambda request: "p"), Stage(Agent("front", run=fails), critical=False)], guards=[])
    front = Agent("front", run=lambda request: Command(goto="billing", graph=Command.PARENT))
    agents = [front, Agent("team", run=inner.compile()), Agent("billing", run=lambda request: "b")]

    def then(gate: GateContext) -> Any:
        return "billing" if any(result.handoff for result in gate.reviewed) else gate.conclude()

    outcome = outcome_of(team_of(agents, then, entry=agents[:2]))

    assert (outcome.status, [gap.path for gap in outcome.gaps]) == ("degraded", [("team",)])


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_gate_that_runs_again_counts_its_subtasks_once(limit: int) -> None:
    broken = {"yes": True}

    def then(gate: GateContext) -> Any:
        if len(gate.accepted) > 1:
            return gate.conclude()
        sends = gate.allowed([gate.send(OK, Subtask(id=f"s{n}", goal="g")) for n in range(limit)])
        if broken["yes"]:
            raise RuntimeError("a bug")
        return sends or gate.conclude()

    graph = team_of([OK], then, guards=[Limits(subtasks=limit)]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    with pytest.raises(PatternError):
        graph.invoke({"task": "T"}, config)
    broken["yes"] = False
    outcome = graph.invoke(None, config)["outcome"]

    assert (outcome.status, len(outcome.value)) == ("completed", limit + 1)


def test_every_agent_that_waits_is_a_gap_of_a_cancelled_run(tmp_path: Path) -> None:
    agents = [Agent("a", run=lambda request: "yes"), *(Agent(name, run=lambda r: interrupt("?")) for name in "bc")]
    with Runner(
        f"sqlite:///{tmp_path / 'runs.db'}", graphs={"g": lambda: team_of(agents, ends, entry=agents)}
    ) as runner:
        runner.run("g", "T", thread_id="t")
        outcome = runner.cancel("t").outcome

    assert outcome is not None
    assert sorted(gap.subtask for gap in outcome.gaps) == ["a", "b", "c"]


def test_depth_holds_in_teams_below_that_have_no_such_guard() -> None:
    def team(worker: Agent, guards: list[Guard], name: str) -> Any:
        return supervisor(planner=Agent("pl", run=one_round), workers=[worker], guards=guards, name=name)

    below = team(Agent("t2", run=team(OK, [], "c").compile()), [], "b")
    outcome = outcome_of(team(Agent("t1", run=below.compile()), [Depth(1)], "a"))

    assert outcome.status == "failed"
    assert "deeper than the 1 levels allowed" in outcome.gaps[0].reason


@pytest.mark.parametrize("limit", [1, 5])
def test_the_reserve_of_a_budget_takes_nothing_off_the_subtasks(limit: int) -> None:
    def plan(request: Request) -> Plan:
        return (
            Plan(subtasks=tuple(Subtask(id=str(n), goal="g") for n in range(limit))) if request.round == 1 else Plan()
        )

    guards = [Limits(subtasks=limit), Budget(tokens=1000)]
    value: Any
    outcome = outcome_of(supervisor(planner=Agent("pl", run=plan), workers=[OK], guards=guards))
    value = outcome.value

    assert (outcome.status, len(value)) == ("completed", limit)


def test_what_an_escalation_leaves_unsent_is_a_gap() -> None:
    @guard(at="dispatch", on_trip=Escalate())
    def not_b(view: GuardContext) -> str | None:
        return "no" if view.agent is not None and view.agent.name == "b" else None

    agents = [Agent(name, run=lambda request: "x") for name in "abc"]
    outcome = outcome_of(team_of(agents, ends, guards=[not_b], entry=agents))

    assert outcome.status == "escalated"
    assert sorted(gap.subtask for gap in outcome.gaps) == ["a", "b", "c"]


def test_a_subtask_that_a_stop_leaves_unsent_is_a_gap() -> None:
    def then(gate: GateContext) -> Any:
        return gate.send(OK, Subtask(id="s", goal="s"))

    outcome = outcome_of(team_of([OK], then, guards=[Limits(visits=1)]))

    assert (outcome.status, [gap.subtask for gap in outcome.gaps]) == ("degraded", ["s"])


def test_what_is_written_twice_is_stored_as_it_is_seen() -> None:
    class Odd(RunState):
        last: Annotated[list[int], lambda left, right: right]
        best: Annotated[list[int], lambda left, right: max(left, right, key=len)]
        top: Annotated[list[str], Topic(str, accumulate=True)]

    seen: dict[str, Any] = {}

    def then(gate: GateContext) -> Any:
        for value in ([1], [2]):
            gate.write(last=value, best=value)
        gate.write(top="x")
        gate.write(top=["y", "z"])
        seen.update({name: gate.state[name] for name in ("last", "best", "top")})
        return gate.conclude()

    *_, state = team_of([OK], then, state=Odd).compile().stream({"task": "T"}, stream_mode="values")

    assert {name: state[name] for name in seen} == seen
    assert seen["top"] == ["x", "y", "z"]


@pytest.mark.parametrize("limit", range(3, 12))
def test_a_draft_that_is_written_again_ends_in_an_outcome_under_any_recursion_limit(limit: int) -> None:
    @guard(at="exit", on_trip=Retry(1))
    def second(view: GuardContext) -> str | None:
        return None if view.subject.attempt > 1 else "again"

    outcome = outcome_of(pipeline([OK], guards=[second]), {"recursion_limit": limit})

    assert outcome.status == ("completed" if limit > 7 else "failed")


def test_a_guard_sees_the_same_channels_at_every_gate() -> None:
    @guard(at="dispatch")
    def reads(view: GuardContext) -> str | None:
        return "too many" if len(view.state["results"]) + len(view.state["verdicts"]) > 5 else None

    assert outcome_of(pipeline([OK], guards=[reads])).status == "completed"


def test_an_expected_agent_of_a_nested_team_says_nothing_of_ones_own() -> None:
    editor = Agent("editor", run=fails)
    inner = pipeline([Agent("p", run=lambda request: "p"), Stage(editor, critical=False)], guards=[])
    agents = [Agent("team", run=inner.compile()), Agent("editor", run=lambda request: "x")]

    def then(gate: GateContext) -> Any:
        return gate.stop(reason="enough")

    outcome = outcome_of(team_of(agents, then, required=agents))

    assert [gap.path for gap in outcome.gaps if gap.subtask == "editor"] == [("team",), ()]


def test_an_answer_that_no_gate_has_reviewed_is_a_gap() -> None:
    team = Team("own", guards=[], entry=[OK]).add_agents([OK], gate="handoff")
    team.add_gate("handoff", lambda gate, agents: None, agents=[OK], route=ends)

    outcome = outcome_of(team.build())

    assert (outcome.status, outcome.gaps[0].reason) == ("failed", "no gate has reviewed it")


def test_a_decision_that_raises_is_a_fault_of_the_pattern() -> None:
    team = Team("own", guards=[], entry=[OK]).add_agents([OK], gate="handoff")
    team.add_gate("handoff", lambda gate, agents: {}["nothing"], agents=[OK], route=ends)

    with pytest.raises(PatternError, match="KeyError"):
        outcome_of(team.build())


def declared(fault: str) -> Any:
    team = Team("own", guards=[], entry=[OK], author=Agent("author", run=str)).add_agents([OK], gate="handoff")
    team.add_gate("handoff", agents=[OK], route=ends)
    if fault == "round":
        team.add_node("n1", str, to="n2").add_node("n2", str, to="n1")
    elif fault == "taken":
        team.add_gate("dispatch_n", agents=[], route=ends).add_node("n", str, to=OK)
    elif fault == "plans":
        planner = Agent("p", run=str)
        team.add_agents([planner], gate="handoff_p", channel="plans").add_gate(
            "handoff_p", agents=[planner], route=ends
        )
    return team.build()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("round", "leads back to itself, and to no gate"),
        ("taken", "by a gate 'dispatch_n', which exists already"),
        ("plans", "only a `dispatch` gate reads plans"),
    ],
)
def test_what_would_end_nowhere_is_refused_when_it_is_built(fault: str, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        declared(fault)


def test_a_state_that_takes_the_reducer_from_a_channel_is_refused() -> None:
    class Bad(RunState):
        gaps: list[Any]  # type: ignore[misc]

    with pytest.raises(BadGraph, match="gives other types to channels of the team: 'gaps'"):
        Team("own", guards=[], entry=[OK], state=Bad)
