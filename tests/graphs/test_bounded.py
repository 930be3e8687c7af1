"""Whatever routes and agents answer, a run ends in an outcome."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from itertools import count
from typing import Annotated, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END
from langgraph.types import Command, Send

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Team, pipeline, supervisor
from guardgraph.guards import (
    Budget,
    Convergence,
    Deadline,
    Depth,
    Escalate,
    Finish,
    Guard,
    GuardContext,
    Limits,
    OnTrip,
    Refuse,
    Retry,
    Schema,
    guard,
)
from guardgraph.nodes import Route
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, ContextItem, PatternError, Plan, Request, RunState, Subtask
from tests.graphs.teams import WAYS, ask_sync, listed, plan_of, planner, speaker, team, worker

WRITER = Agent("writer", run=lambda request: [item.value for item in request.results])


def own(
    then: Callable[[GateContext], Any],
    guards: list[Guard] | None = None,
    *,
    agent: Agent | None = None,
    begin: Route | None = None,
    author: Agent | None = WRITER,
) -> Any:
    """Return a pattern of one agent whose gate goes where `then` says."""
    a = agent or Agent("a", run=lambda request: "said")
    goes = [] if begin is None else [a]
    team = Team("own", guards=guards or [], entry=begin or [a], destinations=goes, author=author)
    team.add_agents([a], gate="handoff")
    team.add_gate("handoff", agents=[a], route=then, destinations=[a])
    return team.build().compile()


def concludes(gate: GateContext) -> Any:
    """End the run."""
    return gate.conclude()


def slow(request: Request) -> str:
    time.sleep(0.02)
    return "said"


def again(gate: GateContext) -> Send:
    """Send the agent to work for ever."""
    return gate.send(Agent("a", run=str))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("guards", "agent", "stopped_by"),
    [
        ([Deadline(0.5)], worker("a", slow), "Deadline"),
        ([Budget(tokens=500)], speaker("a", read=40, written=10), "Budget"),
        ([Limits(visits=7)], None, "Limits"),
        ([], None, "Limits"),
    ],
    ids=["deadline", "budget", "visits", "no guard at all"],
)
def test_a_pattern_that_always_sends_again_is_stopped(
    way: str, guards: list[Guard], agent: Agent | None, stopped_by: str
) -> None:
    outcome = WAYS[way](own(again, guards, agent=agent), "go on", None)

    assert (outcome.status, outcome.stopped_by) == ("degraded", stopped_by)
    assert outcome.reason
    assert "'sa" in str(outcome.value)  # the last one may be cut by the budget, the author may come too late


@pytest.mark.parametrize(
    ("on_trip", "status"), [(Finish(), "failed"), (Escalate(), "escalated"), (Refuse(), "refused")]
)
def test_a_deadline_that_has_passed_at_admission_ends_the_run_as_it_declares(on_trip: OnTrip, status: str) -> None:
    outcome = ask_sync(own(again, [Deadline(1e-7, on_trip=on_trip)]))

    assert (outcome.status, outcome.stopped_by) == (status, "Deadline")
    assert outcome.reason is not None
    assert outcome.reason.startswith("the deadline")


def test_an_answer_that_is_not_tried_again_since_the_run_ends_is_a_gap() -> None:
    outcome = ask_sync(own(concludes, [Schema(int), Limits(visits=1)], author=None))

    assert outcome.stopped_by == "Limits"
    assert [(gap.agent, gap.guard) for gap in outcome.gaps] == [("a", "Schema")]


def test_the_cap_on_visits_is_exact() -> None:
    assert len(listed(ask_sync(own(again, [Limits(visits=7)])))) == 7
    assert len(listed(ask_sync(own(again)))) == 100


def test_a_chain_of_planned_subtasks_is_bounded_by_its_plan_alone() -> None:
    chain = tuple(Subtask(id=str(n), goal=f"do {n}", depends_on=(str(n - 1),) if n else ()) for n in range(12))
    flaky = worker(run=lambda request: 1 / (request.attempt - 1), attempts=2)

    outcome = ask_sync(team(Plan(subtasks=chain), workers=[flaky], guards=[Limits(visits=2)]).compile())

    assert (outcome.status, len(listed(outcome))) == ("completed", 12)


@pytest.mark.parametrize("heeds", [True, False], ids=["stops", "goes on"])
def test_rounds_that_a_pattern_counts_itself_are_bounded_by_convergence(*, heeds: bool) -> None:
    def next_round(gate: GateContext) -> Any:
        stop = gate.next_round()
        if stop is not None and heeds:
            return gate.stop(stop.status, by=stop.stopped_by, reason=stop.reason)
        return again(gate)

    outcome = ask_sync(own(next_round, [Convergence(3)]))

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Convergence")
    assert outcome.reason == "round 4 would be one too many: 3 allowed"
    assert len(listed(outcome)) == 3


@pytest.mark.parametrize("limit", [*range(3, 12), 25])
@pytest.mark.parametrize("author", [WRITER, None], ids=["author", "no author"])
def test_a_small_recursion_limit_gives_an_outcome(limit: int, author: Agent | None) -> None:
    outcome = ask_sync(own(again, author=author), config={"recursion_limit": limit})

    assert outcome.stopped_by == "recursion_limit"
    assert (outcome.status, bool(outcome.value)) in [("degraded", True), ("failed", False)]


@pytest.mark.parametrize("limit", range(3, 16))
def test_a_team_that_is_out_of_steps_says_what_is_missing(limit: int) -> None:
    plans = plan_of("a", "b"), plan_of("c")

    outcome = ask_sync(team(*plans).compile(), config={"recursion_limit": limit})
    staged = pipeline([Agent(name, run=lambda request: "x") for name in "abc"]).compile()
    piped = ask_sync(staged, config={"recursion_limit": limit})

    for found in (outcome, piped):
        assert (found.status == "completed") == (not found.gaps and not found.reason)
    done = {one["subtask"] if isinstance(one, dict) else str(one) for one in (listed(outcome) if outcome.value else [])}
    assert len(done) + len(outcome.gaps) >= (0 if limit < 6 else 2)
    assert piped.status == "completed" or {gap.subtask for gap in piped.gaps} <= set("abc")


def from_round(number: int) -> Callable[[Request], str]:
    """Return an agent's function that fails before that round."""

    def run(request: Request) -> str:
        if request.round < number:
            raise LookupError("dry")
        return "said"

    return run


def a_team_that_succeeds_later() -> Agent:
    calls = count(1)

    def run(request: Request) -> str:
        if next(calls) % 2:
            raise LookupError("dry")
        return "said"

    return Agent("inner", run=pipeline([Agent("stage", run=run)], guards=[]).compile())


LATER: dict[str, Callable[[], Agent]] = {
    "itself": lambda: Agent("a", run=from_round(2)),
    "after its fallback has failed, too": lambda: Agent(
        "a", run=from_round(2), fallback=Agent("spare", run=from_round(9))
    ),
    "its fallback": lambda: Agent("a", run=from_round(9), fallback=Agent("spare", run=from_round(2))),
    "a nested team": a_team_that_succeeds_later,
}


@pytest.mark.parametrize("who", LATER)
def test_an_agent_that_succeeds_in_a_later_round_leaves_no_gap(who: str) -> None:
    agent = LATER[who]()

    def then(gate: GateContext) -> Any:
        if gate.accepted:
            return gate.conclude()
        gate.next_round()
        return gate.send(agent)

    outcome = ask_sync(own(then, agent=agent))
    assert (outcome.status, outcome.gaps) == ("completed", ())
    assert ask_sync(own(then, agent=LATER[who](), guards=[Convergence(1)])).status == "failed"


# Answers of routes.


class _Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no name")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        [],
        {"a": 1},
        "nobody",
        END,
        _Odd(),
        [Send("nobody", {})],
        ["a", 7],
        Command(goto="nobody"),
        Command(update={"round": 2}),
        Command(graph=Command.PARENT, goto="guard_exit"),
        Command(update={"results": 7}, goto="guard_exit"),
        Command(update={"gaps": ["x"]}, goto="guard_exit"),
        Command(update={"position": None}, goto="guard_exit"),
        Command(update=[("gaps", [])], goto="guard_exit"),
        ["guard_exit", Send("a", {})],
        "conclude",
        Send("guard_exit", {"a": 1}),
        Command(update={"visits": {}}, goto="a"),
        Command(update={"round": 2}, goto="a"),
        Command(update={"outcome": None}, goto="guard_exit"),
        Command(update={"nothing": 1}, goto="guard_exit"),
        Command(update={"messages": [1]}, goto="guard_exit"),
        [Send("a", {"request": "x", "position": "y"})],
        [Send("a", {"doc": 1})],
        [Send("writer", None)],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_route_that_leads_nowhere_ends_the_run_as_failed(way: str, answer: Any) -> None:
    outcome = WAYS[way](own(lambda gate: answer), "go on", None)

    assert outcome.status == "failed"
    assert outcome.reason.startswith("the route of 'guard_handoff' ")


def test_a_route_that_answers_an_agent_itself_is_told_to_send() -> None:
    outcome = ask_sync(own(lambda gate: Agent("a", run=str)))

    assert (outcome.status, outcome.reason) == (
        "failed",
        "the route of 'guard_handoff' answered the agent 'a' itself; answer `gate.send(…)` of it, or its name",
    )


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        ({"round": 2}, "wrote to 'round', which belongs to the gates; `GateContext.next_round` begins the next one"),
        ({"nothing": 1}, "wrote to 'nothing', which is no channel of the state; there are: context, "),
        ({"gaps": ["x"]}, r"wrote \['x'\] to 'gaps': Input should be a valid dictionary or instance of Gap"),
        ({"messages": [1]}, r"wrote \[1\] to 'messages': "),
    ],
)
def test_what_a_route_writes_that_does_not_fit_is_an_error_of_the_pattern(channels: dict[str, Any], says: str) -> None:
    def then(gate: GateContext) -> Any:
        gate.write(**channels)
        return gate.conclude()

    with pytest.raises(PatternError, match=f"the route of 'guard_handoff' raised BadInput: {says}"):
        ask_sync(own(then))


def test_a_beginning_that_leads_nowhere_ends_the_run_as_failed() -> None:
    outcome = ask_sync(own(again, begin=lambda gate: "nobody"))

    assert (outcome.status, "'nobody'" in outcome.reason) == ("failed", True)


@pytest.mark.parametrize("where", ["route", "entry"])
def test_a_route_that_raises_is_an_error_of_the_pattern_and_the_thread_goes_on_once_it_is_mended(
    where: str, tmp_path: Any
) -> None:
    broken = [True]

    def raises(gate: GateContext) -> Any:
        if broken:
            raise KeyError("lost")
        return gate.conclude() if where == "route" else again(gate)

    def build() -> Any:
        if where == "route":
            return own(raises, author=None).builder
        return own(concludes, begin=raises, author=None).builder

    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs={"own": build}) as runner:
        with pytest.raises(
            PatternError,
            match=r"raised KeyError: 'lost' \(test_bounded.py:\d+ in raises\); mend the route, then resume",
        ):
            runner.run("own", "go on", thread_id="t")
        broken.clear()
        run = runner.resume("t")

    assert run.outcome is not None
    assert (run.outcome.status, run.outcome.value) == ("completed", [{"subtask": None, "agent": "a", "value": "said"}])


def test_a_beginning_that_sends_something_else_than_a_request_ends_the_run_as_failed() -> None:
    outcome = ask_sync(own(concludes, begin=lambda gate: [Send("a", {"doc": 1})]))

    assert outcome.status == "failed"
    assert outcome.reason.startswith("the route of 'guard_admission' sent {'doc': 1} to 'a', which is no request")


def test_an_agent_that_a_node_of_ones_own_sends_something_else_than_a_request_is_an_error_of_the_pattern() -> None:
    team = Team("own", guards=[], entry=lambda gate: "mine", destinations=["mine"]).add_agents(
        [worker("a")], gate="handoff"
    )
    team.add_gate("handoff", agents=[worker("a")], route=concludes)
    team.add_node("mine", lambda state: Command(goto=Send("a", {"doc": 1})), destinations=["handoff"])

    with pytest.raises(PatternError, match="'a' was sent what is no request"):
        ask_sync(team.build().compile())


# Two sends are two attempts.


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_that_is_sent_to_twice_in_a_round_works_twice(way: str) -> None:
    values = iter(["first", "second", "third"])
    a = Agent("a", run=lambda request: next(values))

    def twice(gate: GateContext) -> Any:
        return gate.conclude() if len(gate.accepted) > 1 else [gate.send(a), gate.send(a)]

    outcome = WAYS[way](own(twice, agent=a, author=None), "go on", None)

    assert sorted(one["value"] for one in listed(outcome)) == ["first", "second", "third"]


def test_of_two_sends_in_a_round_only_the_one_that_failed_is_tried_again() -> None:
    asked: list[tuple[str, int]] = []

    def run(request: Request) -> str:
        asked.append((str(request.context[-1].value), request.attempt))
        if asked[-1] == ("bad", 1):
            raise LookupError("not now")
        return str(request.context[-1].value)

    a = Agent("a", run=run, attempts=2)

    def begin(gate: GateContext) -> list[Send]:
        return [gate.send(a, context=[_item(name)]) for name in ("good", "bad")]

    outcome = ask_sync(own(concludes, agent=a, begin=begin, author=None))

    assert sorted(asked) == [("bad", 1), ("bad", 2), ("good", 1)]
    assert (outcome.status, sorted(one["value"] for one in listed(outcome))) == ("completed", ["bad", "good"])


def _item(name: str) -> ContextItem:
    return ContextItem(kind="background", title="document", value=name)


# A handoff out of an agent is a wish that its gate judges.


def _hands_over(request: Request) -> Any:
    return Command(graph=Command.PARENT, goto="planner", update={"round": 99})


def _handing_agent() -> Any:
    """Return a graph with a chat of its own whose node leaves it for another agent, as handoff tools do."""
    from langgraph.graph import START, MessagesState, StateGraph

    graph = StateGraph(MessagesState)
    graph.add_node("talk", lambda state: _hands_over(state))  # type: ignore[arg-type, return-value]
    graph.add_edge(START, "talk")
    return graph.compile()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("run", [_hands_over, _handing_agent()], ids=["answered", "left its graph"])
def test_an_agent_that_wants_to_hand_over_does_not_jump_past_its_gate(way: str, run: Any) -> None:
    graph = supervisor(planner=planner(plan_of("x")), workers=[Agent("a", run=run)], synthesizer=WRITER).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert (outcome.status, outcome.value) == ("failed", None)
    assert [gap.reason for gap in outcome.gaps] == [
        "it returned a handoff to 'planner', which this team does not allow; return an answer instead"
    ]


def test_a_gate_sees_to_whom_an_agent_wants_to_hand_over() -> None:
    seen: list[tuple[str, ...]] = []

    def then(gate: GateContext) -> Any:
        seen.extend(result.handoff for result in gate.reviewed)
        return gate.conclude()

    ask_sync(own(then, agent=worker("a", _hands_over)))

    assert seen == [("planner",)]


@pytest.mark.parametrize(("goes_on", "status"), [(True, "completed"), (False, "failed")])
def test_a_handoff_that_the_route_follows_leaves_no_gap(*, goes_on: bool, status: str) -> None:
    wishes = Agent("a", run=lambda request: Command(graph=Command.PARENT, goto="b"))
    b = Agent("b", run=lambda request: "took over")

    def then(gate: GateContext) -> Any:
        return gate.send(b) if gate.reviewed[-1].handoff and goes_on else gate.conclude()

    team = Team("own", guards=[], entry=[wishes]).add_agents([wishes, b], gate="handoff")
    team.add_gate("handoff", agents=[wishes, b], route=then, destinations=[b])

    outcome = ask_sync(team.build().compile())

    assert (outcome.status, bool(outcome.gaps)) == (status, not goes_on)


def test_a_route_may_not_send_to_the_author_twice() -> None:
    outcome = ask_sync(own(lambda gate: [gate.send(WRITER), gate.send(WRITER)]))

    assert (outcome.status, "what ends the run cannot go on" in outcome.reason) == ("failed", True)


def test_values_that_a_route_writes_are_stored_as_what_their_channels_hold() -> None:
    gap = {"subtask": "more", "reason": "wanted"}

    outcome = ask_sync(own(lambda gate: Command(update={"gaps": [gap]}, goto="guard_exit")))

    assert [found.subtask for found in outcome.gaps] == ["more"]


def test_a_draft_is_not_written_again_for_ever() -> None:
    @guard(at="exit", on_trip=Retry(10_000))
    def never(view: GuardContext) -> str:
        return "no"

    written: list[int] = []
    writer = Agent("writer", run=lambda request: written.append(1) or "x")

    outcome = ask_sync(team(plan_of("a"), guards=[never, Limits(visits=5)], synthesizer=writer).compile())

    assert (outcome.status, len(written)) == ("failed", 6)


@pytest.mark.parametrize("guards", [[Limits(subtasks=1)], [Depth(0)]], ids=["no subtasks left", "too deep"])
def test_a_planner_is_not_asked_where_nothing_can_be_sent(guards: list[Guard]) -> None:
    asked: list[int] = []

    def plan(request: Request) -> Plan:
        asked.append(request.round)
        return plan_of(f"a{request.round}", f"b{request.round}")

    graph = supervisor(planner=Agent("planner", run=plan), workers=[worker()], guards=[*guards, Convergence(5)])

    assert (ask_sync(graph.compile()).stopped_by, asked) == (type(guards[0]).__name__, [1])


def test_what_works_at_once_meets_in_one_gate() -> None:
    a, b = Agent("a", run=lambda request: "fine"), Agent("b", run=lambda request: "fine")

    def parallel(begin: Any, **goes: Any) -> Any:
        team = Team("own", guards=[], entry=begin, **goes)
        for agent in (a, b):
            team.add_agents([agent], gate=f"handoff_{agent.name}")
            team.add_gate(f"handoff_{agent.name}", agents=[agent], route=lambda gate: gate.conclude())
        return team.build().compile()

    with pytest.raises(BadGraph, match="must lead to one gate, not to 'handoff_a', 'handoff_b'"):
        parallel([a, b])
    outcome = ask_sync(parallel(lambda gate: [gate.send(a), gate.send(b)], destinations=[a, b]))

    assert outcome.status == "failed"
    assert outcome.reason.endswith("do not meet in one gate: they lead to 'guard_handoff_a', 'guard_handoff_b'")


@pytest.mark.parametrize("id_", ["same", "a", "result"])
def test_the_id_of_a_subtask_stands_for_one_piece_of_work(id_: str) -> None:
    a = Agent("a", run=lambda request: request.goal)

    def then(gate: GateContext) -> Any:
        return gate.send(a, Subtask(id=id_, goal=f"goal {len(gate.accepted)}"))

    team = Team("own", guards=[], entry=[a])
    outcome = ask_sync(
        team.add_agents([a], gate="handoff")
        .add_gate("handoff", agents=[a], route=then, destinations=[a])
        .build()
        .compile()
    )

    assert outcome.status == "failed"
    assert f"sent the subtask {id_!r}, whose id is taken" in outcome.reason


def test_what_is_sent_twice_is_judged_and_worked_on_twice() -> None:
    judged: list[Any] = []

    @guard(at="dispatch")
    def looks(view: GuardContext) -> None:
        judged.append(view.subject)

    a = Agent("a", run=lambda request: request.goal)

    def begin(gate: GateContext) -> Any:
        return [gate.send(a)] * 2

    team = Team("own", guards=[looks], entry=begin, destinations=[a]).add_agents([a], gate="handoff")
    outcome = ask_sync(team.add_gate("handoff", agents=[a], route=lambda gate: gate.conclude()).build().compile())

    assert (len(listed(outcome)), len(judged)) == (2, 2)


def test_a_route_is_given_the_task_and_the_channels_of_ones_own() -> None:
    class Noted(RunState):
        notes: Annotated[list[str], operator.add]

    seen: list[tuple[str, Any]] = []
    a = Agent("a", run=lambda request: "said")

    def begin(gate: GateContext) -> Any:
        seen.append((gate.task.goal, [*gate.state.get("notes", ())]))
        return Command(update={"notes": [gate.task.goal]}, goto=[gate.send(a)])

    def then(gate: GateContext) -> Any:
        seen.append((gate.task.goal, [*gate.state["notes"]]))
        return gate.conclude()

    team = Team("own", guards=[], entry=begin, destinations=[a], state=Noted).add_agents([a], gate="handoff")
    graph = team.add_gate("handoff", agents=[a], route=then).build()
    compiled, config = graph.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}

    for goal in ("one", "two"):
        assert ask_sync(compiled, goal, config).status == "completed"

    assert seen == [("one", []), ("one", ["one"]), ("two", ["one"]), ("two", ["one", "two"])]
