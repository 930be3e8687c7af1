"""Which guards apply: conditions of `only` are resolved once the task, or the agent, is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from operator import is_
from typing import TypeVar

from guardgraph.guards.composition import AnyOf, Only, conjuncts
from guardgraph.guards.guard import Guard, caps_accounts
from guardgraph.state import SideBudget

__all__ = ("applying", "bound_of", "bounds_of", "side_budgets")

_Kind = TypeVar("_Kind", bound=Guard)


def applying(
    guards: Iterable[Guard], *, agents: Collection[str] | None = None, categories: Collection[str] | None = None
) -> tuple[Guard, ...]:
    """Return the guards that apply to an agent with one of these names, in a task of these categories.

    The parts of an `AllOf` are in its place. `None` is not known: conditions on it stay. A guard whose condition holds
    is in the place of its `Only`; one whose condition does not hold passes everything, and so does an `AnyOf` with it.
    """
    each = (_applying(part, agents, categories) for guard in guards for part in conjuncts(guard))
    return tuple(guard for guard in each if guard is not None)


def _applying(guard: Guard, agents: Collection[str] | None, categories: Collection[str] | None) -> Guard | None:
    """Return what is left of a guard, itself where nothing changes; `None` where it passes everything."""
    if isinstance(guard, AnyOf):
        parts = [_applying(part, agents, categories) for part in guard.parts]
        left = tuple(part for part in parts if part is not None)
        if len(left) < len(parts):
            return None
        return guard if all(map(is_, left, guard.parts)) else AnyOf(left)
    if not isinstance(guard, Only):
        return guard
    inner = _applying(guard.guard, agents, categories)
    if inner is None or guard.excludes(agents=agents, categories=categories):
        return None
    left = (guard.agents if agents is None else None, guard.categories if categories is None else None)
    if left == (None, None):
        return inner
    return guard if inner is guard.guard and left == (guard.agents, guard.categories) else Only(inner, *left)


def side_budgets(guards: Iterable[Guard], account: str) -> list[SideBudget]:
    """Return what guards cap beside the tree of a run, where the team with this account declares them.

    Conditions on agents are those of the budgets; those on categories are resolved.
    """
    found = list[SideBudget]()
    for guard in applying(guards):
        if isinstance(guard, Only):
            for one in side_budgets([guard.guard], account):
                agents = [name for name in guard.agents or () if one.agents is None or name in one.agents]
                found.append(one.model_copy(update={"agents": tuple(sorted(agents))}))
        elif caps_accounts(guard) and (budget := guard.side_budget(account)) is not None:
            found.append(budget)
    return found


def bound_of(guard: Guard, kind: type[_Kind], limit: Callable[[_Kind], int]) -> int | None:
    """Return the limit that a guard of `kind` sets, or an `AnyOf` of such guards: the widest; `None` for any other."""
    if isinstance(guard, kind):
        return limit(guard)
    limits = [bound_of(part, kind, limit) for part in guard.parts] if isinstance(guard, AnyOf) else []
    known = [one for one in limits if one is not None]
    return max(known) if known and len(known) == len(limits) else None


def bounds_of(guards: Iterable[Guard], kind: type[_Kind], limit: Callable[[_Kind], int]) -> list[int]:
    """Return the limits that guards of `kind` set; those under a condition that is not resolved set none."""
    return [found for guard in applying(guards) if (found := bound_of(guard, kind, limit)) is not None]
