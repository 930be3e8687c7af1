"""How the guards of a gate judge one subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from guardgraph.guards import Budget, Depth, GuardContext, OnTrip, Refuse, guard
from guardgraph.runtime.services import Services
from guardgraph.state import (
    Evidence,
    Gate,
    Result,
    RunEvent,
    Task,
    Verdict,
)
from tests.nodes.gates import NOW, gate_of

REFUSE = Refuse()
TASK = Task(goal="compare", id="t")


def test_without_guards_everything_passes() -> None:
    decision = gate_of().judge("handoff", TASK, [Budget(tokens=1)])

    assert (decision.trip, decision.on_trip, decision.alerts) == (None, None, ())


def guard_that(action: str, *, name: str = "quiet", on_trip: OnTrip | None = None) -> Any:
    @guard(at="handoff", on_trip=on_trip)
    def judges(context: GuardContext) -> Verdict:
        return Verdict(guard=name, gate="handoff", subject=context.subject_id, action=action, reason=name)  # type: ignore[arg-type]

    return judges


def test_alerts_before_the_first_trip_are_kept_and_all_are_events() -> None:
    events: list[RunEvent] = []
    services = Services(clock=lambda: NOW, on_event=events.append)
    guards = [
        guard_that("alert", name="one"),
        guard_that("pass"),
        guard_that("trip", name="two", on_trip=Refuse()),
        guard_that("trip", name="x"),
    ]

    decision = gate_of(services=services).judge("handoff", TASK, guards)

    assert decision.trip is not None
    assert (decision.trip.guard, decision.on_trip) == ("two", Refuse())
    assert [alert.guard for alert in decision.alerts] == ["one"]
    assert [(event.kind, event.data["guard"], event.data["action"]) for event in events] == [
        ("verdict", "one", "alert"),
        ("verdict", "two", "trip"),
    ]


def test_what_passes_is_no_event() -> None:
    events: list[RunEvent] = []
    gate_of(services=Services(on_event=events.append)).judge("dispatch", TASK, [Depth(3)])

    assert events == []


@dataclass(frozen=True)
class Reader:
    """A guard that reads sources by its own function, and trips where one is missing."""

    reads: Callable[[Evidence], str | None]
    seen: list[dict[str, str]]
    on_trip: OnTrip = REFUSE
    gates = frozenset[Gate]({"handoff"})

    def read(self, evidence: Evidence) -> str | None:
        return self.reads(evidence)

    def __call__(self, view: GuardContext) -> Verdict:
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

    decision = gate_of().judge("handoff", RESULT, [Reader(reads, first), Reader(lambda _: None, second)])

    assert first == [{"a": "text of a"}]
    assert read == ["a", "b"], "each source once"
    assert second == [{}]
    assert decision.trip is not None
    assert decision.trip.reason == "no source"


def test_a_source_that_cannot_be_read_trips_its_guard() -> None:
    def reads(evidence: Evidence) -> str:
        raise PermissionError("locked")

    decision = gate_of().judge("handoff", RESULT, [Reader(reads, [])])

    assert decision.trip is not None
    assert decision.trip.reason == "guard 'Reader' could not read its sources: PermissionError: locked"
    assert decision.on_trip == Refuse()


def test_what_is_no_result_has_no_sources_to_read() -> None:
    reader = Reader(lambda evidence: pytest.fail("nothing names a source"), [])

    gate_of().judge("handoff", TASK, [reader])

    assert reader.seen == [{}]
