"""What ends a run that would otherwise go on. Pure: no clock, no ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guardgraph.guards import (
    Convergence,
    Escalate,
    Guard,
    Limits,
    OnTrip,
    Refuse,
    applying,
    bounds_of,
    leaves,
    name_of,
)
from guardgraph.state import Allowance, Balance, EarlyStop, OutcomeStatus, tightest_label

__all__ = ("early_stop", "no_means", "too_few_steps", "too_many_visits")

_VISITS = Limits().visits
"""How often a gate may be reached where no guard limits it."""


def early_stop(
    state: Mapping[str, Any],
    guards: Iterable[Guard],
    gate: str,
    *,
    left: Allowance,
    is_late: bool,
    steps: int,
    balances: Sequence[Balance] = (),
) -> EarlyStop | None:
    """Return what ends a run that would go on: time, budget, rounds, visits, or LangGraph's own limit.

    `steps` is how many supersteps it needs to go on and then to conclude; `balances` name the account of what is left.
    Where the guard whose limit is reached declares `Escalate` or `Refuse`, the run ends so.
    """
    guards = tuple(guards)
    stop = _first_stop(state, guards, gate, left=left, is_late=is_late, steps=steps, balances=balances)
    return None if stop is None else stop.model_copy(update={"status": _status_of(stop, guards)})


def _first_stop(
    state: Mapping[str, Any],
    guards: Sequence[Guard],
    gate: str,
    *,
    left: Allowance,
    is_late: bool,
    steps: int,
    balances: Sequence[Balance],
) -> EarlyStop | None:
    stop = no_means(left, is_late=is_late, balances=balances)
    if stop is not None:
        return stop
    rounds = min(bounds_of(guards, Convergence, lambda guard: guard.rounds), default=None)
    number = state.get("round") or 1
    if rounds is not None and number > rounds:
        return _degraded("Convergence", f"round {number} would be one too many: {rounds} allowed")
    return too_many_visits(state, guards, gate) or too_few_steps(state, steps)


def no_means(left: Allowance, *, is_late: bool, balances: Sequence[Balance] = ()) -> EarlyStop | None:
    """Return what keeps any agent from working: time or budget."""
    if is_late:
        return _degraded("Deadline", "the time for work is over")
    for what in ("tokens", "usd", "calls"):
        amount = getattr(left, what)
        if amount is not None and amount <= 0:
            return _degraded("Budget", f"no {what} left{tightest_label(balances, what)}")
    return None


def too_many_visits(state: Mapping[str, Any], guards: Iterable[Guard], gate: str) -> EarlyStop | None:
    """Return what ends a run that has reached this gate as often as it may."""
    visits = min(bounds_of(guards, Limits, lambda guard: guard.visits), default=_VISITS)
    visited = (state.get("visits") or {}).get(gate, 0)
    if gate == "guard_admission" or visited < visits or visited < visits + _planned_attempts(state):
        return None
    return _degraded("Limits", f"{gate!r} was reached {visited:,} times; `Limits(visits=…)` allows more")


def too_few_steps(state: Mapping[str, Any], steps: int) -> EarlyStop | None:
    """Return what ends a run for which LangGraph's `recursion_limit` leaves no more than `steps` supersteps."""
    left = state.get("remaining_steps")
    if left is None or left > steps:
        return None
    reason = f"LangGraph's `recursion_limit` leaves {left} more supersteps, too few to go on and to conclude"
    return _degraded("recursion_limit", reason)


def _status_of(stop: EarlyStop, guards: Iterable[Guard]) -> OutcomeStatus:
    """Return how the guards that a stop names end the run: the hardest `on_trip` of them counts."""
    named = [guard for guard in applying(guards) if stop.stopped_by in [name_of(one) for one in leaves([guard])]]
    declared: list[OnTrip] = [guard.on_trip for guard in named]
    if any(isinstance(one, Escalate) for one in declared):
        return "escalated"
    return "refused" if any(isinstance(one, Refuse) for one in declared) else stop.status


def _planned_attempts(state: Mapping[str, Any]) -> int:
    planned = {subtask.id for subtask in state.get("subtasks") or ()}
    if not planned or not state.get("plans"):  # a route may send subtasks without end
        return 0
    results = (result for result in state.get("results") or () if result.subtask in planned)
    return len({(result.subtask, result.attempt) for result in results})


def _degraded(stopped_by: str, reason: str) -> EarlyStop:
    return EarlyStop(status="degraded", stopped_by=stopped_by, reason=reason)
