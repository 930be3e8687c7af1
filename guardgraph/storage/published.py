"""Events that were published to a thread from outside: the protocol of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from guardgraph.state import Event

__all__ = ("PublishedEvent", "PublishedEvents")


class PublishedEvent(NamedTuple):
    """An event from outside, as it is stored for a thread."""

    number: int
    """Its place among the events that were published to its thread, counted from 1 without gaps."""
    event: Event
    replays: bool = False
    """Whether `event` names one of the log, by source and id, that is to be delivered again where it is parked."""


class PublishedEvents(Protocol):
    """Reads the events that were published to one thread. Every method may be called from any thread."""

    def after(self, number: int, limit: int) -> Sequence[PublishedEvent]:
        """Return up to `limit` events with a number above this one, in order.

        No event is stored later with a number below one that was returned.
        """
        ...

    def last(self) -> int:
        """Return the number of the latest event; 0 where there is none."""
        ...
