from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Convergence, GuardContext, Refuse, guard
from guardgraph.nodes.scope import work_until
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Allowance,
    Amount,
    BadInput,
    ContextItem,
    Gap,
    RunState,
    Subtask,
    Task,
    Usage,
)
from tests.nodes.gates import NOW, gate_of, position, spec_of

REFUSE = Refuse()
TASK = Task(goal="compare", id="t")


@pytest.mark.parametrize(("seconds", "margin"), [(1, 0.1), (50, 5), (100, 10), (101, 10), (3_600, 10)])
def test_work_ends_a_tenth_of_the_time_before_the_deadline_and_at_most_ten_seconds(
    seconds: float, margin: float
) -> None:
    deadline = NOW + timedelta(seconds=seconds)

    assert work_until(position(allowance=Allowance(deadline=deadline))) == deadline - timedelta(seconds=margin)


def test_without_a_deadline_work_has_no_end() -> None:
    assert work_until(position()) is None
    assert not gate_of().is_late


@pytest.mark.parametrize(("seconds", "late"), [(8.999, False), (9, True), (10, True), (11, True)])
def test_a_gate_is_late_when_the_time_for_work_is_over(seconds: float, late: bool) -> None:
    team = position(allowance=Allowance(deadline=NOW + timedelta(seconds=10)))
    services = Services(clock=lambda: NOW + timedelta(seconds=seconds))

    assert gate_of(team=team, services=services).is_late is late


def test_a_gate_knows_what_is_spent_and_what_workers_may_still_spend() -> None:
    team = position(spending_account="r/work", reserve=0.2, allowance=Allowance(tokens=100, depth=3))
    services = Services(clock=lambda: NOW)
    services.ensure_open(team)
    services.ledger.reserve("e", "r/work", services.epoch_of("r/work"), Amount(tokens=30))
    services.ledger.settle("e", Usage(input_tokens=20, output_tokens=5, calls=1))

    seen = gate_of(team=team, services=services)

    assert (seen.remaining.tokens, seen.remaining.depth, seen.remaining.calls) == (80 - 25, 3, None)
    assert (seen.allowance.tokens, seen.allowance.depth) == (100, 3)
    assert seen.spent == Usage(input_tokens=20, output_tokens=5, calls=1)
    assert seen.now == NOW


def test_a_limit_that_was_raised_since_admission_counts() -> None:
    team = position(allowance=Allowance(tokens=100, depth=3))
    services = Services(clock=lambda: NOW)
    services.ensure_open(team)
    services.ledger.open("r", Allowance(tokens=500))

    seen = gate_of(team=team, services=services)

    assert (seen.allowance.tokens, seen.remaining.tokens, seen.allowance.depth) == (500, 500, 3)


def test_a_position_that_a_checkpoint_made_a_dict_of_is_read() -> None:
    assert gate_of(position=position().model_dump(mode="json")).position == position()


def test_a_guard_sees_the_team_and_the_agent() -> None:
    seen: list[GuardContext] = []

    @guard(at=("dispatch", "handoff"))
    def looks(context: GuardContext) -> None:
        seen.append(context)

    agent = Agent("w", run=print, version="7", skills={"reading"}, expected_cost=4)
    team = position(depth=2, path=("top", "team"), allowance=Allowance(tokens=10))
    gate = gate_of(spec_of(agent, guards=[looks]), team=team, round=4, admitted=TASK)

    gate.judge("handoff", TASK, agent=agent)
    gate.write(messages=[])
    assert gate.allowed(sends := [gate.send(agent), gate.send(agent)]) == sends
    assert gate.allowed(sends) == sends, "what is judged once is not judged again"

    plain, first, second = seen
    assert (plain.gate, plain.depth, plain.remaining.tokens, plain.expected_cost, plain.round) == (
        "handoff",
        2,
        10,
        None,
        4,
    )
    assert (first.gate, first.depth, first.remaining.tokens, first.expected_cost) == (
        "dispatch",
        3,
        10,
        Amount(tokens=4),
    )
    assert (second.remaining.tokens, gate.remaining.tokens) == (6, 2)
    assert all((one.subject, one.path, one.now) == (TASK, ("top", "team"), NOW) for one in seen)
    info = plain.agent
    assert info is not None
    assert (info.name, info.version, info.skills, info.chain) == ("w", "7", {"reading"}, ("top", "team", "w"))


def test_what_a_guard_of_dispatch_stops_is_a_gap_and_is_not_sent() -> None:
    @guard(at="dispatch")
    def no_b(context: GuardContext) -> str | None:
        return "not b" if context.subject.goal == "b" else None

    agent = Agent("w", run=print)
    gate = gate_of(spec_of(agent, guards=[no_b]), admitted=TASK)
    sends = [gate.send(agent, Subtask(id=id_, goal=id_)) for id_ in ("a", "b")]

    assert gate.allowed(sends) == sends[:1]
    assert gate.gaps == [Gap(subtask="b", agent="w", reason="not b", guard="no_b")]
    assert [subtask.id for subtask in gate.state["subtasks"]] == ["a"]


def test_what_is_written_is_seen_at_once_by_the_reducers_of_the_channels() -> None:
    class Notes(RunState):
        notes: Annotated[dict[str, int], lambda left, right: {**left, **right}]
        mood: str

    gate = gate_of(spec_of(state=Notes), gaps=[Gap(subtask="a", reason="late")], notes={"a": 1})

    gate.write(gaps=[Gap(subtask="b", reason="late")], notes={"b": 2}, mood="good")
    gate.write(gaps=[Gap(subtask="a", reason="late")], notes={"b": 3}, mood="bad")

    assert [gap.subtask for gap in gate.state["gaps"]] == ["a", "b"]
    assert (gate.state["notes"], gate.state["mood"]) == ({"a": 1, "b": 3}, "bad")
    update: Any = gate.command("x").update
    assert [gap.subtask for gap in update["gaps"]] == ["b", "a"]
    assert (update["notes"].value, update["mood"]) == ({"a": 1, "b": 3}, "bad")


def test_the_state_of_a_gate_cannot_be_changed_past_it() -> None:
    with pytest.raises(TypeError):
        gate_of().state["round"] = 7  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nots", 1, "'nots', which is no channel of the state; there are: .*gaps.*notes"),
        ("ending", None, "'ending', which belongs to the gates; `GateContext.stop` ends a run"),
        ("round", 2, "'round', which belongs to the gates; `GateContext.next_round`"),
        ("requests", {}, "'requests', which belongs to the gates"),
        ("gaps", [7], "wrote \\[7\\] to 'gaps': Input should be"),
        ("notes", 7, "wrote 7 to 'notes', whose reducer raised TypeError"),
    ],
)
def test_what_does_not_fit_a_channel_is_refused(name: str, value: Any, message: str) -> None:
    class Notes(RunState):
        notes: Annotated[dict[str, int], lambda left, right: {**left, **right}]

    with pytest.raises(BadInput, match=message):
        gate_of(spec_of(state=Notes), notes={}).write(**{name: value})


def test_a_round_that_may_not_begin_does_not_and_the_reason_is_returned() -> None:
    gate = gate_of(spec_of(guards=[Convergence(rounds=2)]), round=1)

    assert gate.next_round() is None
    assert gate.round == 2
    stop = gate.next_round()

    assert stop is not None
    assert (stop.stopped_by, gate.round) == ("Convergence", 2)
    assert gate.stop_reason() == stop, "a route that goes on all the same is stopped"


def test_context_that_is_given_replaces_the_default_context() -> None:
    rules, note = (ContextItem(kind="background", title=title) for title in ("house rules", "note"))
    agent = Agent("w", run=print)
    gate = gate_of(spec_of(agent), admitted=TASK, context=[rules])

    def titles(**more: Any) -> list[str]:
        return [item.title for item in gate.send(agent, **more).arg["request"].context]

    assert (titles(), titles(context=[note])) == (["house rules"], ["note"])
    assert titles(context=[*gate.context(), note]) == ["house rules", "note"]
