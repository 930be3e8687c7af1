"""Several guards, one subject: the first trip ends it, and what cannot judge does not let pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import (
    Depth,
    Escalate,
    Finish,
    Guard,
    GuardContext,
    GuardDecision,
    OnTrip,
    Refuse,
    Retry,
    alert_of,
    allowance_or_trip,
    evaluate_guards,
    guard,
    name_of,
)
from guardgraph.state import Allowance, Gate, Verdict
from tests.guards.views import view_of_subtask, view_of_task


@dataclass(frozen=True)
class Says:
    """Says what it was told to say."""

    action: str
    name: str = "says"
    on_trip: OnTrip = field(default=Finish())
    gates = frozenset[Gate]({"dispatch"})

    def __call__(self, context: GuardContext) -> Verdict:
        return context.verdict(self, trips=self.action == "trip").model_copy(update={"action": self.action})


@dataclass(frozen=True)
class Answers:
    """Breaks the protocol: it answers anything."""

    answer: Any
    on_trip: OnTrip = field(default=Refuse())
    gates = frozenset[Gate]({"dispatch"})

    def __call__(self, context: GuardContext) -> Any:
        return self.answer


class Unspeakable(Exception):
    """Cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def raises(error: Exception) -> Guard:
    @guard(at="dispatch", on_trip=Escalate())
    def breaks(context: GuardContext) -> str | None:
        raise error

    return breaks


def test_without_guards_everything_passes() -> None:
    assert evaluate_guards([], view_of_subtask()) == GuardDecision(None, None, ())


def test_guards_of_other_gates_are_not_asked() -> None:
    @guard(at="handoff")
    def elsewhere(context: GuardContext) -> str | None:
        raise AssertionError("asked")

    assert evaluate_guards([elsewhere], view_of_subtask()).trip is None


def test_the_first_trip_ends_it_with_its_own_reaction() -> None:
    told = evaluate_guards(
        [Says("pass"), Says("trip", "one", Retry(2)), raises(ValueError("never asked"))], view_of_subtask()
    )

    assert told.trip is not None
    assert (told.trip.guard, told.on_trip) == ("one", Retry(2))


def test_alerts_before_a_trip_are_kept_in_order() -> None:
    told = evaluate_guards(
        [Says("alert", "a"), Says("pass"), Says("alert", "b"), Says("trip"), Says("alert")], view_of_subtask()
    )

    assert [alert.guard for alert in told.alerts] == ["a", "b"]


def test_alerts_let_pass() -> None:
    told = evaluate_guards([Says("alert")], view_of_subtask())

    assert told.trip is None
    assert told.on_trip is None
    assert len(told.alerts) == 1


def test_a_guard_that_raises_trips_and_says_why() -> None:
    told = evaluate_guards([raises(KeyError("price")), Depth(5)], view_of_subtask())

    assert told.trip is not None
    assert (told.trip.action, told.trip.guard, told.trip.subject) == ("trip", "breaks", "s-1")
    assert told.trip.reason == "guard 'breaks' raised KeyError: 'price'"
    assert told.on_trip == Escalate()


def test_an_error_without_words_trips_too() -> None:
    told = evaluate_guards([raises(Unspeakable())], view_of_subtask())

    assert told.trip is not None
    assert "Unspeakable" in told.trip.reason


def test_a_subject_without_an_id_trips_a_guard_that_cannot_judge_it() -> None:
    context = GuardContext(gate="dispatch", subject=None, now=view_of_subtask().now)

    assert evaluate_guards([raises(ValueError("x"))], context).trip is not None


@pytest.mark.parametrize("answer", [None, True, False, "no", {"action": "pass"}])
def test_a_guard_that_answers_no_verdict_trips(answer: object) -> None:
    told = evaluate_guards([Answers(answer)], view_of_subtask())

    assert told.trip is not None
    assert told.trip.reason == f"guard 'Answers' must return Verdict, got {type(answer).__name__}"
    assert told.on_trip == Refuse()


def test_a_guard_that_wants_to_end_the_program_trips_as_any_that_raises() -> None:
    @guard(at="dispatch", on_trip=Refuse())
    def leaves(context: GuardContext) -> str | None:
        raise SystemExit(3)

    told = evaluate_guards([leaves], view_of_subtask())

    assert told.trip is not None
    assert (told.trip.reason, told.on_trip) == ("guard 'leaves' raised SystemExit: 3", Refuse())


def test_ctrl_c_while_a_guard_judges_is_no_verdict() -> None:
    @guard(at="dispatch")
    def interrupted(context: GuardContext) -> str | None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        evaluate_guards([interrupted], view_of_subtask())


@given(st.lists(st.sampled_from(["pass", "alert", "trip"])))
def test_it_stops_if_and_only_if_one_trips_and_keeps_every_alert_before_it(actions: list[str]) -> None:
    told = evaluate_guards([Says(action, str(n)) for n, action in enumerate(actions)], view_of_subtask())
    before = actions[: actions.index("trip")] if "trip" in actions else actions

    assert (told.trip is not None) == ("trip" in actions)
    assert (told.on_trip is not None) == (told.trip is not None)
    assert [alert.guard for alert in told.alerts] == [str(n) for n, action in enumerate(before) if action == "alert"]
    assert told.trip is None or told.trip.guard == str(len(before))


@pytest.mark.parametrize(
    ("on_trip", "status"), [(Escalate(), "escalated"), (Refuse(), "refused"), (Finish(), "failed")]
)
def test_a_trip_ends_a_run_as_its_guard_declares(on_trip: OnTrip, status: str) -> None:
    ending = evaluate_guards([Says("trip", "one", on_trip)], view_of_subtask()).ending(otherwise="failed")

    assert ending is not None
    assert (ending.status, ending.stopped_by, ending.reason) == (status, "one", "no reason given")


def test_without_a_trip_nothing_ends() -> None:
    assert evaluate_guards([Says("alert")], view_of_subtask()).ending(otherwise="failed") is None


@dataclass(frozen=True)
class Alerting(Says):
    """Caps an account, of which it alerts as it is told."""

    def side_budget(self, account: str) -> None:
        return None

    def alert(self, context: GuardContext) -> Verdict:
        if self.action == "raises":
            raise ValueError("broken")
        return self(context)


@pytest.mark.parametrize(("action", "found"), [("alert", True), ("pass", False), ("trip", False), ("raises", False)])
def test_the_alert_of_a_guard_is_an_alert_or_none(action: str, found: bool) -> None:
    alert = alert_of(Alerting(action), view_of_subtask())

    assert (alert is not None) is found
    assert alert is None or alert.action == "alert"


def test_a_guard_that_cannot_narrow_trips_in_its_place() -> None:
    context = view_of_task()

    assert allowance_or_trip(Depth(2), context) == Allowance(depth=2)
    assert allowance_or_trip(Says("trip"), context) == Allowance()
    instead: Any = allowance_or_trip(Broken("pass", on_trip=Refuse()), context)
    assert (instead.gates, instead.on_trip, name_of(instead)) == ({"admission"}, Refuse(), "says")
    assert evaluate_guards([instead], context).trip == instead(context)
    assert instead(context).reason == "guard 'says' raised ValueError: broken"


@dataclass(frozen=True)
class Broken(Says):
    """Cannot narrow."""

    def narrow(self, context: GuardContext) -> Allowance:
        raise ValueError("broken")
