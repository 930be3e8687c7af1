"""Events that were published to a thread from outside: the protocol of what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from guardgraph.state import PublishedEvent

__all__ = ("PublishedEvents",)


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
