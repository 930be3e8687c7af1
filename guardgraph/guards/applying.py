"""Which guards apply: conditions of `only` are resolved once the task, or the agent, is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from guardgraph.guards.composition import AllOf, AnyOf, Only, flattened
from guardgraph.guards.guard import Guard

__all__ = ("applying", "bound_of", "bounds_of")

_COMBINED = (AllOf, AnyOf, Only)
_Kind = TypeVar("_Kind", bound=Guard)


def applying(
    guards: Iterable[Guard], *, agents: Collection[str] | None = None, categories: Collection[str] | None = None
) -> tuple[Guard, ...]:
    """Return the guards that apply to an agent with one of these names, in a task of these categories.

    `None` is not known: conditions on it stay. A guard whose condition holds is in the place of its `Only`; one whose
    condition does not hold passes everything, and so does an `AnyOf` with it.
    """
    found = list[Guard]()
    for guard in guards:
        if not isinstance(guard, _COMBINED):
            found.append(guard)
        elif isinstance(guard, AllOf):
            found += applying(guard.parts, agents=agents, categories=categories)
        elif isinstance(guard, AnyOf):
            parts = [applying([part], agents=agents, categories=categories) for part in guard.parts]
            if all(parts):
                found.append(AnyOf(tuple(one for part in parts for one in part)))
        else:
            if not guard.excludes(agents=agents, categories=categories):
                left = (guard.agents if agents is None else None, guard.categories if categories is None else None)
                inner = applying([guard.guard], agents=agents, categories=categories)
                found += inner if left == (None, None) else [Only(one, *left) for one in inner]
    return tuple(found)


def bound_of(guard: Guard, kind: type[_Kind], limit: Callable[[_Kind], int]) -> int | None:
    """Return the limit that a guard of `kind` sets, or an `AnyOf` of such guards: the widest; `None` for any other."""
    if isinstance(guard, kind):
        return limit(guard)
    limits = [bound_of(part, kind, limit) for part in guard.parts] if isinstance(guard, AnyOf) else []
    known = [one for one in limits if one is not None]
    return max(known) if known and len(known) == len(limits) else None


def bounds_of(guards: Iterable[Guard], kind: type[_Kind], limit: Callable[[_Kind], int]) -> list[int]:
    """Return the limits that guards of `kind` set; those under a condition that is not resolved set none."""
    either = [one for one in flattened(guards) if isinstance(one, (kind, AnyOf))]
    return [found for guard in either if (found := bound_of(guard, kind, limit)) is not None]
