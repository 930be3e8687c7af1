"""The subscription of an agent to types of events, and the checks of a set of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.event_index import Subscriber
from guardgraph.state import TASK_EVENT, BadGraph, Event
from guardgraph.state.argument_checks import check_fields, must_be

__all__ = ("EventTypes", "Subscription", "check_subscriptions", "checked_types", "subscribers_of")

_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Subscription:
    """An agent, and the types of events that are delivered to it; never those that it has emitted itself.

    Raises `BadGraph` for no types, for a type that is no text, and for a `where` that is not a plain function.
    """

    agent: Agent
    types: Collection[str]
    """The types, as `order.placed`; `task` is the event with which a run begins."""
    where: Callable[[Event], bool] | None = None
    """Returns whether an event of these types is delivered. It is called once for an event, and has to be pure."""
    ordered: bool = True
    """Whether the events of one source are delivered one after the other; `False` makes all parallel."""

    def __post_init__(self) -> None:
        check_fields(self, "agent", "ordered")
        types = (self.types,) if isinstance(self.types, str) else self.types
        object.__setattr__(self, "types", checked_types(f"the subscription of {self.agent.name!r}", "types", types))
        if not self.types:
            raise BadGraph(f"the subscription of {self.agent.name!r} names no types of events")
        if self.where is not None and (not callable(self.where) or iscoroutinefunction(self.where)):
            raise BadGraph(
                f"the subscription of {self.agent.name!r}: `where` must be a plain function of an Event that is not "
                f"async, got {self.where!r}"
            )


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The types of events that a team knows besides those of its subscriptions."""

    accepts: frozenset[str]
    emits: Mapping[str, frozenset[str]]
    """By agent."""
    until: frozenset[str]
    value: frozenset[str]

    @property
    def all_emitted(self) -> frozenset[str]:
        """The types that any agent emits."""
        return frozenset().union(*self.emits.values())


def checked_types(owner: str, name: str, types: object) -> frozenset[str]:
    """Return types of events. Raises `BadGraph` for anything but texts of 1 to 200 characters."""
    must_be(owner, name, types, Collection[str])
    found: Collection[Any] = types  # type: ignore[assignment]
    odd = next((one for one in found if not isinstance(one, str) or not 0 < len(one) <= _LONGEST), None)
    if odd is not None:
        raise BadGraph(f"{owner}: `{name}` holds {odd!r:.80}; a type of events is a text of 1 to {_LONGEST} characters")
    return frozenset(found)


def subscribers_of(subscriptions: Sequence[Subscription]) -> tuple[tuple[Agent, ...], tuple[Subscriber, ...]]:
    """Return the agents, each once, and what is delivered to each by all its subscriptions."""
    by_name: dict[str, list[Subscription]] = {}
    for one in subscriptions:
        by_name.setdefault(one.agent.name, []).append(one)
        if by_name[one.agent.name][0].agent is not one.agent:
            raise BadGraph(f"agent names must be unique in a team, {one.agent.name!r} is used for two agents")
    found = [
        Subscriber(
            name,
            frozenset().union(*(one.types for one in some)),
            _any_of(some),
            all(one.ordered for one in some),
        )
        for name, some in by_name.items()
    ]
    return tuple(some[0].agent for some in by_name.values()), tuple(found)


def check_subscriptions(subscribers: Sequence[Subscriber], types: EventTypes) -> None:
    """Raise `BadGraph` for what can never happen: events that no agent can emit, and events that lead nowhere."""
    names = {one.name for one in subscribers}
    unknown = sorted(types.emits.keys() - names)
    if unknown:
        raise BadGraph(f"`emits` names {_listed(unknown)}, which no subscription names: an agent works on events alone")
    for name, some in (("accepts", types.accepts), ("emits", types.all_emitted)):
        if TASK_EVENT in some:
            raise BadGraph(f"`{name}` names {TASK_EVENT!r}, the event with which a run begins; name another type")
    for one in subscribers:
        by_others = frozenset[str]().union(*(some for name, some in types.emits.items() if name != one.name))
        lost = sorted(one.types - by_others - types.accepts - {TASK_EVENT})
        if lost:
            raise BadGraph(
                f"{one.name!r} subscribes to {_listed(lost)}, which no other agent emits (`emits`), and which is not "
                "accepted from outside (`accepts`)"
            )
    possible = types.all_emitted | types.accepts
    for name, some in (("until", types.until), ("value", types.value)):
        lost = sorted(some - possible)
        if lost:
            raise BadGraph(f"`{name}` names {_listed(lost)}, which no agent emits and which is not accepted")
    wanted = frozenset[str]().union(*(one.types for one in subscribers))
    unread = sorted(types.accepts - wanted - types.until - types.value)
    if unread:
        raise BadGraph(f"`accepts` names {_listed(unread)}, to which no agent subscribes")
    if TASK_EVENT not in wanted and not types.accepts:
        raise BadGraph(
            f"no agent subscribes to {TASK_EVENT!r} and nothing is accepted from outside: nothing ever begins"
        )


def _any_of(some: Sequence[Subscription]) -> Callable[[Event], bool] | None:
    if all(one.where is None for one in some):
        return None

    def matches(event: Event) -> bool:
        answers = [True if one.where is None else one.where(event) for one in some if event.type in one.types]
        odd = next((answer for answer in answers if not isinstance(answer, bool)), None)  # pyright: ignore[reportUnnecessaryIsInstance]
        if odd is not None:
            raise TypeError(f"`where` must return a bool, got {odd!r:.80}")
        return any(answers)

    return matches


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
