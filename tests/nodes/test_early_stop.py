from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from guardgraph.guards import Budget, Convergence, Deadline, Escalate, Finish, Guard, Limits, OnTrip, Refuse
from guardgraph.nodes.early_stop import early_stop, too_few_steps, too_many_visits
from guardgraph.state import Allowance, Plan, Result, Subtask

PLANNED: dict[str, Any] = {
    "subtasks": [Subtask(id="a", goal="a")],
    "plans": [Result(id="p", agent="planner", value=Plan().model_dump(mode="json"))],
    "results": [Result(id=str(n), agent="w", subtask="a", attempt=n) for n in (1, 2, 3)],
}


def stopped_by(state: dict[str, Any], guards: Sequence[Guard] = (), **facts: Any) -> str | None:
    known: dict[str, Any] = {"left": Allowance(), "is_late": False, "steps": 3, **facts}
    stop = early_stop(state, guards, "guard_handoff", **known)
    assert stop is None or (stop.status == "degraded" and stop.reason)
    return stop and stop.stopped_by


@pytest.mark.parametrize(
    ("left", "stop"),
    [
        (Allowance(tokens=1, calls=1), None),
        (Allowance(tokens=0), "Budget"),
        (Allowance(usd=0), "Budget"),  # type: ignore[arg-type]
        (Allowance(calls=0), "Budget"),
        (Allowance(subtasks=0, messages=0), None),
    ],
)
def test_a_spent_budget_stops_a_run(left: Allowance, stop: str | None) -> None:
    assert stopped_by({}, left=left) == stop


ON_TRIP = [(Finish(), "degraded"), (Escalate(), "escalated"), (Refuse(), "refused")]


@pytest.mark.parametrize(("on_trip", "status"), ON_TRIP)
@pytest.mark.parametrize("name", ["Deadline", "Budget", "Convergence", "Limits"])
def test_a_limit_that_is_reached_ends_a_run_as_its_guard_declares(name: str, on_trip: OnTrip, status: str) -> None:
    guards: dict[str, Guard] = {
        "Deadline": Deadline(1, on_trip=on_trip),
        "Budget": Budget(tokens=1, on_trip=on_trip),
        "Convergence": Convergence(1, on_trip=on_trip),
        "Limits": Limits(visits=1, on_trip=on_trip),
    }
    reached: dict[str, dict[str, Any]] = {
        "Deadline": {"is_late": True},
        "Budget": {"left": Allowance(tokens=0)},
        "Convergence": {"state": {"round": 2}},
        "Limits": {"state": {"visits": {"guard_handoff": 1}}},
    }
    others: list[Guard] = [Deadline(9), Budget(calls=9), Convergence(9), Limits(visits=9)]
    facts: dict[str, Any] = {"state": {}, "left": Allowance(), "is_late": False, "steps": 3, **reached[name]}

    stop = early_stop(guards=[*others, guards[name]], gate="guard_handoff", **facts)

    assert stop is not None
    assert (stop.status, stop.stopped_by) == (status, name)


def test_of_guards_of_one_name_the_hardest_reaction_counts() -> None:
    guards = [Limits(visits=2, on_trip=Refuse()), Limits(visits=1, on_trip=Escalate()), Limits(visits=3)]

    stop = early_stop({"visits": {"g": 1}}, guards, "g", left=Allowance(), is_late=False, steps=3)

    assert stop is not None
    assert stop.status == "escalated"


def test_the_deadline_comes_before_all_else() -> None:
    assert stopped_by({"round": 9}, [Convergence(1)], left=Allowance(tokens=0), is_late=True) == "Deadline"


@pytest.mark.parametrize(("round_", "stop"), [(None, None), (2, None), (3, "Convergence")])
def test_the_smallest_limit_of_rounds_counts(round_: int | None, stop: str | None) -> None:
    assert stopped_by({"round": round_}, [Convergence(5), Convergence(2)]) == stop


@pytest.mark.parametrize(
    ("visits", "more", "stop"), [(1, {}, None), (2, {}, "Limits"), (2, PLANNED, None), (5, PLANNED, "Limits")]
)
def test_a_gate_may_be_visited_once_more_for_each_attempt_at_a_planned_subtask(
    visits: int, more: dict[str, Any], stop: str | None
) -> None:
    assert stopped_by({"visits": {"guard_handoff": visits}, **more}, [Limits(visits=2)]) == stop


def test_without_limits_a_gate_may_be_visited_a_hundred_times_and_the_admission_always() -> None:
    assert too_many_visits({"visits": {"g": 99}}, [], "g") is None
    assert too_many_visits({"visits": {"g": 100}}, [], "g") is not None
    assert too_many_visits({"visits": {"guard_admission": 100}}, [], "guard_admission") is None


@pytest.mark.parametrize(("left", "is_enough"), [(None, True), (4, True), (3, False), (0, False)])
def test_more_supersteps_have_to_be_left_than_are_needed(left: int | None, is_enough: bool) -> None:
    stop = too_few_steps({"remaining_steps": left}, 3)

    assert (stop is None) is is_enough
    assert stop is None or f"leaves {left} more supersteps" in stop.reason


@pytest.mark.parametrize(("round_", "stop"), [(3, None), (4, "Convergence")])
def test_of_either_guard_the_wider_limit_of_rounds_counts(round_: int, stop: str | None) -> None:
    assert stopped_by({"round": round_}, [Convergence(2) | Convergence(3)]) == stop
    assert stopped_by({"round": round_}, [Convergence(2).only(categories={"safety"})]) is None


@pytest.mark.parametrize(("visits", "stop"), [(4, None), (5, "Limits")])
def test_of_either_guard_the_wider_limit_of_visits_counts(visits: int, stop: str | None) -> None:
    guards = [Limits(visits=3) | Limits(visits=5)]

    assert stopped_by({"visits": {"guard_handoff": visits}}, guards) == stop
