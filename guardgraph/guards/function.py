"""How a function becomes a guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Never, cast, get_args

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import BadGraph, Gate, Verdict
from guardgraph.state.argument_checks import must_be

__all__ = ("FunctionGuard", "guard")

_GATES: frozenset[str] = frozenset(get_args(Gate))


@dataclass(frozen=True, slots=True)
class FunctionGuard(Composable):
    """A function as a guard; made by `guard`."""

    name: str
    function: Callable[[GuardContext], str | Verdict | None]
    gates: frozenset[Gate]
    on_trip: OnTrip = Finish()

    def __call__(self, context: GuardContext) -> Verdict:
        """Judge by the function: `None` passes, a text is the reason of a trip, a `Verdict` is taken as it is."""
        found = cast("object", self.function(context))
        if isinstance(found, Verdict):
            return found
        if found is not None and not isinstance(found, str):
            raise TypeError(f"guard {self.name!r} must return None, a reason or a Verdict, got {type(found).__name__}")
        return context.verdict(self, trips=found is not None, reason=found or "no reason given")


def guard(
    *bare: Never, at: Gate | tuple[Gate, ...] = (), on_trip: OnTrip | None = None
) -> Callable[[Callable[[GuardContext], str | Verdict | None]], FunctionGuard]:
    """Make a guard of a function that returns `None` (pass) or the reason why its subject must not go on.

    Raises `BadGraph` where it is used without parentheses, for a gate that does not exist, for an `on_trip` of another
    type, for anything but a function, and for an async function.
    """
    if bare:
        raise BadGraph('`@guard` needs the gates at which it judges: write `@guard(at="handoff")`')
    gates = _gates(at)
    must_be("guard", "on_trip", on_trip, OnTrip | None)

    def decorate(function: Callable[[GuardContext], str | Verdict | None]) -> FunctionGuard:
        if isinstance(function, type) or not callable(function):
            raise BadGraph(f"`@guard` decorates a function of a GuardContext, got {function!r}")
        name = str(getattr(function, "__name__", type(function).__name__))
        if iscoroutinefunction(function):
            raise BadGraph(f"guard {name!r} is async; a guard is pure; code that waits or calls a model is an agent")
        return FunctionGuard(name, function, gates, on_trip or Finish())

    return decorate


def _gates(at: object) -> frozenset[Gate]:
    """Return the gates that `at` names, one or several. Raises `BadGraph` for anything else."""
    named = [at] if isinstance(at, str) else list[object](at) if isinstance(at, tuple | list | set | frozenset) else []
    if not named or not all(isinstance(gate, str) and gate in _GATES for gate in named):
        raise BadGraph(f"`at` must name gates out of {', '.join(sorted(_GATES))}; got {at!r}")
    return frozenset(cast("list[Gate]", named))
