"""Whether what is given as guards are guards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from guardgraph.guards import Guard, OnTrip, Retry, name_of
from guardgraph.state import BadGraph, Gate, error_text

__all__ = ("checked_guards",)

_ANSWERED = frozenset[Gate]({"handoff", "round", "exit"})
"""The gates at which somebody has answered, who can be asked again."""


def checked_guards(guards: Sequence[Guard]) -> tuple[Guard, ...]:
    """Return the guards. Raises `BadGraph` for what is none; a class in place of `Depth()` is a common slip."""
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
    return tuple(guards)


def _fault_of(given: object) -> str | None:
    """Return what is wrong with a guard. All that is asked of one later is read here, where an error is clear."""
    if not isinstance(given, Guard) or not isinstance(cast("object", given.on_trip), OnTrip):
        return (
            f"`guards` holds {given!r}, which is no guard: a guard is a callable with `gates` and `on_trip`; "
            "`@guard(at=…)` makes one of a function"
        )
    name, _ = name_of(given), bool(getattr(given, "judges_failures", False))
    unknown = sorted(set(given.gates).difference(get_args(Gate)))
    if unknown:
        return f"guard {name!r} names gates that do not exist: {', '.join(map(repr, unknown))}"
    if isinstance(given.on_trip, Retry) and _ANSWERED.isdisjoint(given.gates):
        return (
            f"guard {name!r} has `on_trip=Retry(…)`, but judges only at {', '.join(sorted(given.gates))}, "
            "where nobody has answered yet; say `Finish()`, `Escalate()` or `Refuse()`"
        )
    return None
