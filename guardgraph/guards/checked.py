"""The checks of a list of guards, where a graph or an agent is declared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast, get_args

from guardgraph.guards.applying import applying
from guardgraph.guards.budget import Budget
from guardgraph.guards.budget_tree import check_budgets
from guardgraph.guards.composition import AllOf, AnyOf, Only, leaves
from guardgraph.guards.context import name_of
from guardgraph.guards.declared_prices import merged_prices
from guardgraph.guards.guard import AllowanceLimiter, Guard
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.guards.reviewable import REVIEWED_AT, Reviewable, check_review
from guardgraph.state import BadGraph, Gate, Price, error_text

__all__ = ("checked_guards", "checked_own_guards", "prices_of")

_RETRYABLE = frozenset[Gate]({"handoff", "round", "exit", "tool"})
"""The gates whose subject has an agent, or a model, that can try again."""


def checked_guards(guards: Sequence[Guard]) -> tuple[Guard, ...]:
    """Return the guards, the parts of each `AllOf` in its place.

    Raises `BadGraph` for anything else; a class in place of `Depth()` is a common mistake.
    """
    for given in cast("Sequence[object]", guards):
        if isinstance(given, type):
            raise BadGraph(f"`guards` holds the class {given.__name__}; make a guard of it: {given.__name__}(…)")
        try:
            fault = _fault_of(given)
        except Exception as error:
            what = f"`guards` holds a {type(given).__name__} that cannot be read: {error_text(error)}"
            raise BadGraph(what) from error
        if fault:
            raise BadGraph(fault)
    found = applying(guards)
    check_budgets([guard for guard in found if isinstance(guard, Budget)], for_some=_for_some(found))
    prices_of(found)
    return found


def prices_of(guards: Iterable[Guard]) -> dict[str, Price]:
    """Return the prices that budgets declare, also within other guards. Raises `BadGraph` where one model has two."""
    return merged_prices(guard.prices for guard in leaves(guards) if isinstance(guard, Budget))


def _for_some(guards: Sequence[Guard]) -> list[Budget]:
    """Return the budgets that count some agents alone."""
    return [one.guard for one in guards if isinstance(one, Only) and one.agents and isinstance(one.guard, Budget)]


def _fault_of(given: object) -> str | None:
    """Return what is wrong with a guard. All its attributes are read here, where an error is clear."""
    if isinstance(given, AllOf | AnyOf | Only):
        fault = next(filter(None, map(_fault_of, given.parts)), None)
        if fault or isinstance(given, AllOf):
            return fault
    if not isinstance(given, Guard) or not isinstance(cast("object", given.on_trip), OnTrip):
        return (
            f"`guards` holds {given!r}, which is no guard: a guard is a callable with `gates` and `on_trip`; "
            "`@guard(at=…)` makes one of a function"
        )
    fault = _fault_of_review(given)
    if fault:
        return fault
    name, _ = name_of(given), bool(getattr(given, "judges_failures", False))
    unknown = sorted(set(given.gates).difference(get_args(Gate)))
    if unknown:
        return f"guard {name!r} names gates that do not exist: {', '.join(map(repr, unknown))}"
    if isinstance(given.on_trip, Retry) and _RETRYABLE.isdisjoint(given.gates):
        return (
            f"guard {name!r} has `on_trip=Retry(…)`, but judges only at {', '.join(sorted(given.gates))}, "
            "where there is no answer yet; use `Finish()`, `Escalate()` or `Refuse()`"
        )
    return None


def _fault_of_review(given: Guard) -> str | None:
    """Return what is wrong with how a guard names a reviewer."""
    review = getattr(given, "review", None)
    if review is None or isinstance(given, AllOf | AnyOf | Only):
        return None
    if not isinstance(given, Reviewable):
        return (
            f"guard {name_of(given)!r} names the reviewer {review!r:.80}, and has not what `Reviewable` asks for: the "
            "attribute `unreviewed`, and the method `asks`"
        )
    check_review(name_of(given), review, given.unreviewed)
    if REVIEWED_AT.isdisjoint(given.gates):
        return f"guard {name_of(given)!r} names the reviewer {review!r}, but judges at neither `handoff` nor `exit`"
    return None


def checked_own_guards(guards: Sequence[Guard]) -> tuple[Guard, ...]:
    """Return the guards of one agent. Raises `BadGraph` for those that judge or limit a whole team."""
    for given in checked_guards(guards):
        if any(isinstance(leaf, AllowanceLimiter) for leaf in leaves([given])) or "admission" in given.gates:
            raise BadGraph(
                f"guard {name_of(given)!r} limits a team; an agent has `timeout`, `budget_share` and `max_tokens`, or "
                "is a team of its own with such a guard"
            )
    return tuple(guards)
