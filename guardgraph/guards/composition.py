"""Guards made of guards: both, either, or only for some agents and tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from itertools import chain
from typing import Any, cast, get_args

from guardgraph.guards.context import GuardContext, name_of
from guardgraph.guards.guard import AccountLimiter, AllowanceLimiter, Guard
from guardgraph.guards.on_trip import OnTrip
from guardgraph.guards.verdicts import verdict_of
from guardgraph.state import Allowance, BadGraph, Category, Gate, Task, Verdict

__all__ = ("AllOf", "AnyOf", "Composable", "Only", "conditions", "conjuncts", "leaves", "within")

_CATEGORIES: frozenset[str] = frozenset(get_args(Category))


class Composable:
    """Gives a guard the operators `&` and `|` and the method `only`; it has no fields, and needs none.

    A guard of your own may inherit it. One that does not is combined by `AllOf`, `AnyOf` and `Only` themselves, or as
    the other operand.
    """

    __slots__ = ()

    def __and__(self, other: Guard) -> AllOf:
        """Return a guard that passes what both pass."""
        return AllOf((cast("Guard", self), other))

    def __rand__(self, other: Guard) -> AllOf:
        """Return a guard that passes what both pass."""
        return AllOf((other, cast("Guard", self)))

    def __or__(self, other: Guard) -> AllOf | AnyOf:
        """Return a guard that passes what either passes."""
        return _either(cast("Guard", self), other)

    def __ror__(self, other: Guard) -> AllOf | AnyOf:
        """Return a guard that passes what either passes."""
        return _either(other, cast("Guard", self))

    def only(
        self, *, agents: Collection[str] | None = None, categories: Collection[Category] | None = None
    ) -> AllOf | Only:
        """Return a guard that judges only the work of `agents`, only in tasks of one of `categories`; see `Only`."""
        whole = Only(cast("Guard", self), agents, categories)
        parts = conjuncts(whole)
        return AllOf(parts) if len(parts) > 1 else whole


@dataclass(frozen=True, slots=True)
class AllOf(Composable):
    """Passes what all of `parts` pass: in a team it is the same as its parts one after the other.

    A team takes them for it: each part judges at its own gates, reads its own sources, and narrows the allowance. The
    first that trips names the verdict, and its `on_trip` counts.
    """

    parts: tuple[Guard, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(chain.from_iterable(map(conjuncts, _checked("AllOf", self.parts)))))

    @property
    def gates(self) -> frozenset[Gate]:
        """All gates of its parts."""
        return frozenset[Gate]().union(*(part.gates for part in self.parts))

    @property
    def on_trip(self) -> OnTrip:
        """That of the first part; in a team that of the part that trips counts."""
        return self.parts[0].on_trip

    @property
    def name(self) -> str:
        """The names of its parts."""
        return " & ".join(map(name_of, self.parts))

    def __call__(self, context: GuardContext) -> Verdict:
        """Return the first verdict that trips, else the first alert, else a pass."""
        judging = [part for part in self.parts if context.gate in part.gates]
        verdicts = [context.verdict(self, trips=False)]
        for part in judging:
            verdicts.append(verdict_of(part, context))
            if verdicts[-1].action == "trip":
                return verdicts[-1]
        return next((one for one in verdicts if one.action == "alert"), verdicts[0])


@dataclass(frozen=True, slots=True)
class AnyOf(Composable):
    """Passes what one of `parts` passes: it trips where all of them do, with all their reasons.

    It judges at the gates that all its parts have, since a part passes what it does not judge; so it sees results
    without a value only where all parts do. The `on_trip` of the first part counts. The verdict of the first part that
    passes is its own, with its alert. Parts are evaluated in order, each with its own sources, up to that one.

    Guards that narrow the allowance leave the wider one, so they can be combined only with each other. Raises
    `BadGraph` for parts that have no gate in common, for a guard that narrows beside one that does not, and for some
    that narrow nothing in common.
    """

    parts: tuple[Guard, ...]

    def __post_init__(self) -> None:
        parts = tuple(chain.from_iterable(map(_alternatives_of, _checked("AnyOf", self.parts))))
        object.__setattr__(self, "parts", parts)
        both = next((name_of(part) for part in parts if len(conjuncts(part)) > 1), None)
        if both is not None:
            raise BadGraph(f"AnyOf: {both} is a combination by `&`; write `|`, which distributes over it")
        if not self.gates:
            each = "; ".join(f"{name_of(part)} at {', '.join(sorted(part.gates))}" for part in parts)
            raise BadGraph(f"{self.name} would never trip: it trips where all its parts do, and they judge {each}")
        _check_limiters(self)

    @property
    def gates(self) -> frozenset[Gate]:
        """The gates that all its parts have."""
        return frozenset.intersection(*(frozenset(part.gates) for part in self.parts))

    @property
    def on_trip(self) -> OnTrip:
        """That of the first part."""
        return self.parts[0].on_trip

    @property
    def name(self) -> str:
        """The names of its parts."""
        return " | ".join(map(name_of, self.parts))

    @property
    def judges_failures(self) -> bool:
        """Whether all its parts see results that have no value."""
        return all(getattr(part, "judges_failures", False) for part in self.parts)

    @property
    def compensate(self) -> str | None:
        """The agent that compensates, by the first part; see `Schema`."""
        return getattr(self.parts[0], "compensate", None)

    @property
    def reserve(self) -> float:
        """The least part of the allowance that one of its parts keeps for concluding."""
        return min(float(getattr(part, "reserve", 0)) for part in self.parts)

    def narrow(self, context: GuardContext) -> Allowance:
        """Return the widest allowance of its parts; none of them narrows it where they are no limiters."""
        limiters = [part for part in self.parts if isinstance(part, AllowanceLimiter)]
        return reduce(Allowance.widen, (one.narrow(context) for one in limiters)) if limiters else Allowance()

    def __call__(self, context: GuardContext) -> Verdict:
        """Return the verdict of the first part that does not trip, else a trip with the reasons of all."""
        return self.decide(context, lambda part: verdict_of(part, context))

    def decide(self, context: GuardContext, judge: Callable[[Guard], Verdict]) -> Verdict:
        """Do the same with the verdicts that `judge` returns for its parts: a gate reads sources for each of them."""
        reasons: dict[str, None] = {}
        for part in self.parts:
            verdict = judge(part)
            if verdict.action != "trip":
                return verdict
            reasons[verdict.reason] = None
        return context.verdict(self, trips=True, reason="; ".join(reasons))


@dataclass(frozen=True, slots=True)
class Only(Composable):
    """Judges by `guard` only the work of `agents`, and only in tasks of one of `categories`; all else passes.

    The work of an agent is what it is sent, and what it or a fallback of it answers; where no single agent has
    worked, as at `admission`, no agent's does. `None` sets no such condition. Verdicts have the name of `guard`.

    Of a `Budget` per agent or per task only the attempts of `agents` count, and are capped; a fallback is an agent of
    its own there.

    Raises `BadGraph` without any condition, for an empty one, for a category that does not exist, for `agents` of a
    guard that narrows the allowance of a whole team or judges only at `admission`; a team raises it for agents that it
    does not have.
    """

    guard: Guard
    agents: Collection[str] | None = None
    categories: Collection[Category] | None = None

    def __post_init__(self) -> None:
        _checked("Only", (self.guard,))
        name = name_of(self.guard)
        for field in ("agents", "categories"):
            object.__setattr__(self, field, _names(field, getattr(self, field)))
        if self.agents is None and self.categories is None:
            raise BadGraph(f"`only` of {name} needs a condition: give `agents` or `categories`")
        unknown = sorted(frozenset[str](self.categories or ()) - _CATEGORIES)
        if unknown:
            raise BadGraph(f"`only` of {name}: no category {unknown[0]!r}; there are {', '.join(sorted(_CATEGORIES))}")
        if self.agents is not None:
            for leaf in leaves([self.guard]):
                _check_counts_agents(leaf)
        if not self.gates:
            raise BadGraph(f"`only(agents=…)` of {name}, which judges only at admission, where no agent has worked")

    @property
    def gates(self) -> frozenset[Gate]:
        """Those of `guard`; with `agents` without `admission`, where no agent works yet."""
        return frozenset(self.guard.gates) - (frozenset() if self.agents is None else {"admission"})

    @property
    def on_trip(self) -> OnTrip:
        """That of `guard`."""
        return self.guard.on_trip

    @property
    def name(self) -> str:
        """That of `guard`."""
        return name_of(self.guard)

    @property
    def judges_failures(self) -> bool:
        """Whether `guard` sees results that have no value."""
        return bool(getattr(self.guard, "judges_failures", False))

    @property
    def parts(self) -> tuple[Guard, ...]:
        """`guard` alone."""
        return (self.guard,)

    @property
    def condition(self) -> str:
        """The condition, as drawings show it."""
        return " in ".join("/".join(sorted(names)) for names in (self.agents, self.categories) if names)

    def excludes(self, *, agents: Collection[str] | None, categories: Collection[str] | None) -> bool:
        """Return whether it passes the work of an agent with one of these names in a task of these categories.

        `None` is not known, and excludes nothing.
        """
        pairs = ((self.agents, agents), (self.categories, categories))
        return any(w is not None and g is not None and frozenset[str](w).isdisjoint(g) for w, g in pairs)

    def __call__(self, context: GuardContext) -> Verdict:
        """Pass what it is not for; judge all else by `guard`."""
        task = context.subject if isinstance(context.subject, Task) else context.state.get("admitted")
        agents = () if context.agent is None else context.agent.names
        categories = () if task is None else task.categories
        if self.excludes(agents=agents, categories=categories):
            return context.verdict(self, trips=False)
        return verdict_of(self.guard, context)


def within(guards: Iterable[Guard]) -> Iterator[Guard]:
    """Yield each guard, and behind it those of which it is made, in order."""
    for guard in guards:
        yield guard
        if isinstance(guard, AllOf | AnyOf | Only):
            yield from within(guard.parts)


def leaves(guards: Iterable[Guard]) -> list[Guard]:
    """Return the guards of which others are made, in order."""
    return [one for one in within(guards) if not isinstance(one, AllOf | AnyOf | Only)]


def conditions(guards: Iterable[Guard]) -> list[Only]:
    """Return each condition under which one of the guards judges, also within others."""
    return [one for one in within(guards) if isinstance(one, Only)]


def _either(first: Guard, second: Guard) -> AllOf | AnyOf:
    """Return what passes what either passes: `|` distributes over `&`, so that each `AnyOf` has plain parts."""
    first, second = _checked("`|`", (first, second))
    found = [AnyOf((one, other)) for one in conjuncts(first) for other in conjuncts(second)]
    return found[0] if len(found) == 1 else AllOf(tuple(found))


def conjuncts(guard: Guard) -> tuple[Guard, ...]:
    """Return the guards that have to pass one by one: the parts of an `AllOf`, also of one under a condition."""
    if isinstance(guard, AllOf):
        return guard.parts
    if isinstance(guard, Only) and (parts := conjuncts(guard.guard))[0] is not guard.guard:
        return tuple(Only(part, guard.agents, guard.categories) for part in parts)
    return (guard,)


def _alternatives_of(guard: Guard) -> tuple[Guard, ...]:
    parts = conjuncts(guard)
    alone = parts[0] if len(parts) == 1 else guard
    return alone.parts if isinstance(alone, AnyOf) else (alone,)


def _checked(owner: str, parts: Any) -> tuple[Guard, ...]:
    """Return the parts of a combination. Raises `BadGraph` for none, and for what is no guard."""
    if not isinstance(parts, list | tuple) or not parts:
        raise BadGraph(f"{owner} combines guards, got {parts!r:.80}")
    for part in cast("Iterable[object]", parts):
        if isinstance(part, type):
            raise BadGraph(f"{owner} combines guards, got the class {part.__name__}; write {part.__name__}(…)")
        if not isinstance(part, Guard):
            raise BadGraph(f"{owner} combines guards, got {part!r:.80}; `@guard(at=…)` makes one of a function")
    return tuple(cast("Iterable[Guard]", parts))


def _names(field: str, given: Any) -> frozenset[str] | None:
    """Return names as a set. Raises `BadGraph` for a text, for an empty set and for what is no name."""
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Collection) or not given:
        raise BadGraph(f"only: `{field}` must be a set of names that is not empty, got {given!r:.80}")
    names = frozenset(cast("Collection[object]", given))
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None:
        raise BadGraph(f"only: each of `{field}` must be a name, got {odd!r:.80}")
    return cast("frozenset[str]", names)


def _check_limiters(either: AnyOf) -> None:
    beside = next((one for one in leaves(either.parts) if _side_budget(one)), None)
    if beside is not None:
        raise BadGraph(
            f"{either.name}: {name_of(beside)} caps an account beside the run, of which the tighter cap holds; give "
            "such budgets one by one"
        )
    limiters = [leaf for leaf in leaves(either.parts) if isinstance(leaf, AllowanceLimiter)]
    others = [leaf for leaf in leaves(either.parts) if not isinstance(leaf, AllowanceLimiter)]
    if limiters and others:
        raise BadGraph(
            f"{either.name}: {name_of(limiters[0])} narrows what a team may use, whatever {name_of(others[0])} "
            "decides; combine it by `|` only with guards that narrow too, or use `&`"
        )
    if limiters and _narrowed(either) == Allowance():
        raise BadGraph(f"{either.name} would limit nothing: `|` leaves the wider of each limit; use `&`")


def _side_budget(guard: Guard) -> bool:
    return isinstance(guard, AccountLimiter) and guard.side_budget("any") is not None


def _check_counts_agents(guard: Guard) -> None:
    """Raise `BadGraph` for a guard that cannot count some agents alone."""
    beside = guard.side_budget("any") if isinstance(guard, AccountLimiter) else None
    name = name_of(guard)
    if beside is not None and beside.per in ("agent", "task"):
        if getattr(guard, "at", None):
            raise BadGraph(f"`only(agents=…)` of {name} with `at`: its steps are for all agents; leave `at` out")
    elif beside is not None:
        raise BadGraph(
            f"`only(agents=…)` of {name} with per={beside.per!r}: it counts all agents together; a Budget with "
            "per='agent' or per='task' counts some"
        )
    elif isinstance(guard, AllowanceLimiter):
        budget = "" if not isinstance(guard, AccountLimiter) else "; a Budget with per='agent' caps each of some agents"
        raise BadGraph(
            f"`only(agents=…)` of {name}, which limits a whole team: an agent has `timeout`, `budget_share` and "
            f"`max_tokens`, or is a team of its own with such a guard{budget}"
        )


def _narrowed(either: AnyOf) -> Allowance | None:
    """Return what a combination leaves of an unlimited allowance; `None` where that depends on the run."""
    context = GuardContext(gate="admission", subject=Task(goal="any", id="any"), now=datetime(2000, 1, 1, tzinfo=UTC))
    try:
        return either.narrow(context)
    except Exception:
        return None
