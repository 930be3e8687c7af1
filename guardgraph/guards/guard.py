"""What a guard is, and how a function becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Never, Protocol, cast, get_args, runtime_checkable

from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Allowance, BadGraph, Evidence, Gate, SideBudget, Verdict
from guardgraph.state.argument_checks import must_be

__all__ = ("AccountLimiter", "AllowanceLimiter", "FunctionGuard", "Guard", "SourceReader", "guard")

_GATES: frozenset[str] = frozenset(get_args(Gate))


@runtime_checkable
class Guard(Protocol):
    """A pure policy: it judges one subject at one of its gates. Its limits are its fields.

    At `handoff` a guard sees results that have a value; one with a true attribute `judges_failures` sees all.
    """

    @property
    def gates(self) -> frozenset[Gate]:
        """The gates at which it judges."""
        ...

    @property
    def on_trip(self) -> OnTrip:
        """What happens to the subject (or the run) when it trips."""
        ...

    def __call__(self, context: GuardContext, /) -> Verdict:
        """Judge the subject of `context`. An exception counts as a trip."""
        ...


@runtime_checkable
class AllowanceLimiter(Protocol):
    """A guard that narrows the allowance of its team at admission."""

    def narrow(self, context: GuardContext, /) -> Allowance:
        """Return the allowance that the team may have at most."""
        ...


@runtime_checkable
class AccountLimiter(Protocol):
    """A guard that caps accounts beside the tree of a run, such as that of a tenant."""

    def side_budget(self, account: str, /) -> SideBudget | None:
        """Return what it caps beside the tree, where the team with this account declares it; `None` if nothing."""
        ...

    def alert(self, context: GuardContext, /) -> Verdict:
        """Return an alert of the first of its accounts that has passed a threshold of which none was emitted.

        It passes where there is none. It is called again until it does, and once more at the end of a run.
        """
        ...


@runtime_checkable
class SourceReader(Protocol):
    """A guard that judges by the text of sources, which the gate reads for it."""

    def read(self, evidence: Evidence) -> str | None:
        """Return the text of the evidence's source, or `None` if there is no such source."""
        ...


@dataclass(frozen=True, slots=True)
class FunctionGuard:
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
