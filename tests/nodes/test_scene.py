from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from guardgraph.guards import Budget, Depth, OnTrip, Refuse, View, guard
from guardgraph.nodes import KEY, Event, Here, Scene, Services, scene_of, work_until
from guardgraph.state import Allowance, Amount, Evidence, Gate, Position, Result, Task, Usage, Verdict

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
REFUSE = Refuse()
TASK = Task(goal="compare", id="t")


def position(**facts: Any) -> Position:
    return Position.model_validate(
        {"run_id": "r", "account": "r", "work": "r", "path": ("team",), "started": NOW, **facts}
    )


def scene(team: Position | None = None, *, services: Services | None = None, **state: Any) -> Scene:
    at_hand = services or Services(clock=lambda: NOW)
    return scene_of({"position": team or position(), **state}, {"configurable": {KEY: Here(at_hand)}})


@pytest.mark.parametrize(("seconds", "margin"), [(1, 0.1), (50, 5), (100, 10), (101, 10), (3_600, 10)])
def test_work_ends_a_tenth_of_the_time_before_the_deadline_and_at_most_ten_seconds(
    seconds: float, margin: float
) -> None:
    deadline = NOW + timedelta(seconds=seconds)

    assert work_until(position(allowance=Allowance(deadline=deadline))) == deadline - timedelta(seconds=margin)


def test_without_a_deadline_work_has_no_end() -> None:
    assert work_until(position()) is None
    assert not scene().is_late


@pytest.mark.parametrize(("seconds", "late"), [(8.999, False), (9, True), (10, True), (11, True)])
def test_a_gate_is_late_when_the_time_for_work_is_over(seconds: float, late: bool) -> None:
    team = position(allowance=Allowance(deadline=NOW + timedelta(seconds=10)))
    services = Services(clock=lambda: NOW + timedelta(seconds=seconds))

    assert scene(team, services=services).is_late is late


def test_a_scene_tells_what_is_spent_and_what_workers_may_still_spend() -> None:
    team = position(work="r/work", reserve=0.2, allowance=Allowance(tokens=100, depth=3))
    services = Services(clock=lambda: NOW)
    services.ensure_open(team)
    services.ledger.reserve("e", "r/work", services.epoch_of("r/work"), Amount(tokens=30))
    services.ledger.settle("e", Usage(input_tokens=20, output_tokens=5, calls=1))

    seen = scene(team, services=services)

    assert (seen.left.tokens, seen.left.depth, seen.left.calls) == (80 - 25, 3, None)
    assert (seen.allowance.tokens, seen.allowance.depth) == (100, 3)
    assert seen.spent == Usage(input_tokens=20, output_tokens=5, calls=1)
    assert seen.now == NOW


def test_a_limit_that_was_raised_since_admission_counts() -> None:
    team = position(allowance=Allowance(tokens=100, depth=3))
    services = Services(clock=lambda: NOW)
    services.ensure_open(team)
    services.ledger.open("r", Allowance(tokens=500))

    seen = scene(team, services=services)

    assert (seen.allowance.tokens, seen.left.tokens, seen.allowance.depth) == (500, 500, 3)


def test_a_position_that_a_checkpoint_made_a_dict_of_is_read() -> None:
    state = {"position": position().model_dump(mode="json")}

    assert scene_of(state, {"configurable": {KEY: Here(Services())}}).position == position()


def test_a_guard_sees_the_team_and_what_the_gate_says_of_the_subject() -> None:
    seen: list[View] = []

    @guard(at="dispatch")
    def looks(view: View) -> None:
        seen.append(view)

    found = scene(position(depth=2, allowance=Allowance(tokens=10)), round=4)
    other = {"round": 5}

    found.judge([looks], "dispatch", TASK)
    found.judge([looks], "dispatch", TASK, left=Allowance(tokens=3), expects=Amount(1), deeper=1, state=other)

    plain, told = seen
    assert (plain.depth, plain.left.tokens, plain.expects, plain.round) == (2, 10, None, 4)
    assert (told.depth, told.left.tokens, told.expects, told.round) == (3, 3, Amount(1), 5)
    assert all((view.subject, view.path, view.now, view.gate) == (TASK, ("team",), NOW, "dispatch") for view in seen)


def test_where_no_guard_stands_everything_passes() -> None:
    judgement = scene().judge([Budget(tokens=1)], "handoff", TASK)

    assert (judgement.trip, judgement.on_trip, judgement.alerts) == (None, None, ())


def says(action: str, *, name: str = "said", on_trip: OnTrip | None = None) -> Any:
    @guard(at="handoff", on_trip=on_trip)
    def said(view: View) -> Verdict:
        return Verdict(guard=name, gate="handoff", subject=view.subject_id, action=action, reason=name)  # type: ignore[arg-type]

    return said


def test_alerts_before_the_first_trip_are_kept_and_all_are_told() -> None:
    told: list[Event] = []
    services = Services(clock=lambda: NOW, listen=told.append)
    guards = [
        says("alert", name="one"),
        says("pass"),
        says("trip", name="two", on_trip=Refuse()),
        says("trip", name="x"),
    ]

    judgement = scene(services=services).judge(guards, "handoff", TASK)

    assert judgement.trip is not None
    assert (judgement.trip.guard, judgement.on_trip) == ("two", Refuse())
    assert [alert.guard for alert in judgement.alerts] == ["one"]
    assert [(event.kind, event.data["guard"], event.data["action"]) for event in told] == [
        ("verdict", "one", "alert"),
        ("verdict", "two", "trip"),
    ]


def test_what_passes_is_not_told() -> None:
    told: list[Event] = []
    scene(services=Services(listen=told.append)).judge([Depth(3)], "dispatch", TASK)

    assert told == []


@dataclass(frozen=True)
class Reader:
    """A guard that reads sources by its own function, and trips where one is missing."""

    reads: Callable[[Evidence], str | None]
    seen: list[dict[str, str]]
    on_trip: OnTrip = REFUSE
    gates = frozenset[Gate]({"handoff"})

    def read(self, evidence: Evidence) -> str | None:
        return self.reads(evidence)

    def __call__(self, view: View) -> Verdict:
        self.seen.append(dict(view.sources))
        return view.verdict(self, trips="a" not in view.sources, reason="no source")


RESULT = Result(
    id="w", agent="w", evidence=tuple(Evidence(source=source, quote=f"q{n}") for n, source in enumerate("aba"))
)


def test_a_guard_that_judges_by_sources_is_given_those_that_it_reads_itself() -> None:
    first: list[dict[str, str]] = []
    second: list[dict[str, str]] = []
    read: list[str] = []

    def reads(evidence: Evidence) -> str | None:
        read.append(evidence.source)
        return "text of a" if evidence.source == "a" else None

    judgement = scene().judge([Reader(reads, first), Reader(lambda _: None, second)], "handoff", RESULT)

    assert first == [{"a": "text of a"}]
    assert read == ["a", "b"], "each source once"
    assert second == [{}]
    assert judgement.trip is not None
    assert judgement.trip.reason == "no source"


def test_a_source_that_cannot_be_read_trips_the_guard_that_wanted_it() -> None:
    def reads(evidence: Evidence) -> str:
        raise PermissionError("locked")

    judgement = scene().judge([Reader(reads, [])], "handoff", RESULT)

    assert judgement.trip is not None
    assert judgement.trip.reason == "guard 'Reader' could not read its sources: PermissionError: locked"
    assert judgement.on_trip == Refuse()


def test_what_is_no_result_has_no_sources_to_read() -> None:
    reader = Reader(lambda evidence: pytest.fail("nothing names a source"), [])

    scene().judge([reader], "handoff", TASK)

    assert reader.seen == [{}]
