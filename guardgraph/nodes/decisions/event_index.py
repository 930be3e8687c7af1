"""Which events of a log are still to be delivered, and to whom: an index that grows with the log. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from guardgraph.state import Delivery, DeliveryStatus, Event

__all__ = ("EventIndex", "EventIndexes", "PendingDelivery", "Subscriber")

_KEPT = 64
"""How many runs keep their index in this process; another one makes it again of the log."""


class Subscriber(NamedTuple):
    """An agent, and which events are delivered to it."""

    name: str
    types: frozenset[str]
    matches: Callable[[Event], bool] | None = None
    """Called for an event of one of the types, if only some are delivered."""
    is_ordered: bool = True
    """Whether the events of one source are delivered one after the other."""


class PendingDelivery(NamedTuple):
    """An event that is to be delivered."""

    position: int
    """Where the event is in the log, from 0."""
    subscriber: str
    queue: tuple[str, str]
    """Deliveries of one queue are made one after the other."""


@dataclass(slots=True)
class EventIndex:
    """What a log of events and its deliveries amount to. Adding one event takes the same time in a long log.

    Events before `begins`, where the present run began, are known, and are delivered only when they are replayed.
    """

    subscribers: Mapping[str, Subscriber]
    begins: int = 0
    refs: list[str] = field(default_factory=list[str])
    """The events of the log, by their `ref`."""
    latest: dict[str, int] = field(default_factory=dict[str, int])
    """Where the latest event of each type is."""
    _positions: dict[str, int] = field(default_factory=dict[str, int])
    _status: dict[tuple[int, str], DeliveryStatus] = field(default_factory=dict[tuple[int, str], DeliveryStatus])
    _queues: OrderedDict[tuple[str, str], deque[int]] = field(
        default_factory=OrderedDict[tuple[str, str], deque[int]]
    )
    _pending: int = 0

    @property
    def pending(self) -> int:
        """How many deliveries are to be made."""
        return self._pending

    def knows(self, ref: str) -> bool:
        """Return whether an event is in the log."""
        return ref in self._positions

    def position_of(self, ref: str) -> int | None:
        """Return where an event is in the log."""
        return self._positions.get(ref)

    def receivers_of(self, event: Event) -> list[Subscriber]:
        """Return the subscribers to the type of an event; the agent that has emitted it is none."""
        return [one for one in self.subscribers.values() if event.type in one.types and one.name != event.source]

    def append(self, event: Event) -> None:
        """Add the next event of the log."""
        position = len(self.refs)
        self.refs.append(event.ref)
        self._positions[event.ref] = position
        self.latest[event.type] = position
        for one in self.receivers_of(event) if position >= self.begins else ():
            self._enqueue(position, one.name, event)

    def note(self, delivery: Delivery, event: Event) -> None:
        """Add the next entry of the deliveries; `event` is the event that it is about."""
        position, name = self._positions[delivery.event], delivery.subscriber
        before = self._status.get((position, name))
        self._status[position, name] = delivery.status
        if delivery.status == "replayed":
            if name in self.subscribers and before != "replayed":
                self._enqueue(position, name, event)
            return
        queue = self._queue_of(position, name, event)
        waiting = self._queues.get(queue)
        if waiting is not None and position in waiting:
            waiting.remove(position)  # the first one, but for what is filtered
            self._pending -= 1
            if waiting:
                self._queues.move_to_end(queue)  # so that no source keeps the others waiting
            else:
                del self._queues[queue]

    def next_deliveries(self, at_most: int, busy: Collection[tuple[str, str]]) -> list[PendingDelivery]:
        """Return what can be delivered at once: the first one of each queue that is not `busy`, oldest turn first."""
        found: list[PendingDelivery] = []
        for queue, waiting in self._queues.items():
            if len(found) >= at_most:
                break
            if queue not in busy:
                found.append(PendingDelivery(waiting[0], queue[0], queue))
        return found

    def waiting(self) -> Iterator[tuple[int, str]]:
        """Yield the position and the subscriber of everything that is to be delivered."""
        for (name, _), positions in self._queues.items():
            yield from ((position, name) for position in positions)

    def queue_of(self, position: int, name: str, event: Event) -> tuple[str, str]:
        """Return the queue of one delivery."""
        return self._queue_of(position, name, event)

    def replayable(self, event: Event) -> list[str]:
        """Return the subscribers to which an event of the log can be delivered again: it was never handled there."""
        position = self._positions[event.ref]
        waiting = {name for at, name in self.waiting() if at == position}
        names = [one.name for one in self.receivers_of(event)]
        states = {name: self._status.get((position, name)) for name in names}
        return [name for name in names if name not in waiting and states[name] in ("parked", "replayed", None)]

    def _enqueue(self, position: int, name: str, event: Event) -> None:
        self._queues.setdefault(self._queue_of(position, name, event), deque()).append(position)
        self._pending += 1

    def _queue_of(self, position: int, name: str, event: Event) -> tuple[str, str]:
        known = self.subscribers.get(name)
        return (name, event.source) if known is None or known.is_ordered else (name, f"{event.source} {position}")


class _Known(NamedTuple):
    index: EventIndex
    last: Event | None
    delivered: int
    last_delivery: Delivery | None


class EventIndexes:
    """The indexes of the runs of one graph in this process. One that does not fit a log is made again."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._subscribers = {one.name: one for one in subscribers}
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = Lock()

    def take(self, account: str, log: Sequence[Event], deliveries: Sequence[Delivery], begins: int) -> EventIndex:
        """Return the index of a log, which the caller changes; `keep` gives it back with the log that it then fits."""
        with self._lock:
            known = self._known.pop(account, None)
        if known is not None and known.index.begins == begins and _is_prefix(known, log, deliveries):
            index, first = known.index, known.delivered
        else:
            index, first = EventIndex(self._subscribers, begins), 0
        for event in log[len(index.refs) :]:
            index.append(event)
        for delivery in deliveries[first:]:
            position = index.position_of(delivery.event)
            if position is not None:
                index.note(delivery, log[position])
        return index

    def keep(self, account: str, index: EventIndex, log: Sequence[Event], deliveries: Sequence[Delivery]) -> None:
        """Keep an index that fits a log."""
        last, last_delivery = (log[-1] if log else None), (deliveries[-1] if deliveries else None)
        with self._lock:
            self._known[account] = _Known(index, last, len(deliveries), last_delivery)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)


def _is_prefix(known: _Known, log: Sequence[Event], deliveries: Sequence[Delivery]) -> bool:
    """Return whether a log begins with what an index was made of."""
    length = len(known.index.refs)
    if length > len(log) or known.delivered > len(deliveries):
        return False
    is_log = length == 0 or log[length - 1] is known.last
    return is_log and (known.delivered == 0 or deliveries[known.delivered - 1] is known.last_delivery)
