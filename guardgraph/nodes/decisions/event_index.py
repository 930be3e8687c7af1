"""Which events of a log are still to be delivered, and to which subscribers: an index that grows with the log. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from guardgraph.state import Delivery, DeliveryStatus, Event, entry_of

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
    """Where the event is among the events of the log, from 0."""
    subscriber: str
    queue: tuple[str, str]
    """Deliveries of one queue are made one after the other."""


@dataclass(slots=True)
class EventIndex:
    """What the log of a thread amounts to. Adding one entry takes the same time in a long log.

    Events before the entry `begins`, where the present run began, are known, and are delivered only when replayed.
    """

    subscribers: Mapping[str, Subscriber]
    begins: int = 0
    length: int = 0
    """How many entries the log has."""
    events: list[Event] = field(default_factory=list[Event])
    """The events of the log, in their order."""
    first: int = 0
    """Where the events of the present run begin."""
    pending: int = 0
    """How many deliveries are to be made."""
    _latest: dict[str, int] = field(default_factory=dict[str, int])
    _positions: dict[str, int] = field(default_factory=dict[str, int])
    _status: dict[tuple[int, str], DeliveryStatus] = field(default_factory=dict[tuple[int, str], DeliveryStatus])
    _queues: OrderedDict[tuple[str, str], deque[int]] = field(default_factory=OrderedDict[tuple[str, str], deque[int]])

    def position_of(self, ref: str) -> int | None:
        """Return where an event is among the events of the log; `None` for one that is not there."""
        return self._positions.get(ref)

    def has_happened(self, types: Collection[str]) -> bool:
        """Return whether an event of one of these types has come in the present run."""
        return any(self._latest.get(one, -1) >= self.first for one in types)

    def receivers_of(self, event: Event) -> list[Subscriber]:
        """Return the subscribers to the type of an event; the agent that has emitted it is none."""
        return [one for one in self.subscribers.values() if event.type in one.types and one.name != event.source]

    def append(self, entry: Event | Delivery) -> None:
        """Add the next entry of the log: an event, or what has become of one."""
        if isinstance(entry, Event):
            self._append_event(entry)
        else:
            self._append_delivery(entry)
        self.length += 1

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

    def queue_of(self, position: int, name: str) -> tuple[str, str]:
        """Return the queue of one delivery."""
        known, source = self.subscribers.get(name), self.events[position].source
        return (name, source) if known is None or known.is_ordered else (name, f"{source} {position}")

    def replayable(self, position: int) -> list[str]:
        """Return the subscribers to which an event can be delivered again: it was never handled there."""
        waiting = {name for at, name in self.waiting() if at == position}
        names = [one.name for one in self.receivers_of(self.events[position])]
        states = {name: self._status.get((position, name)) for name in names}
        return [name for name in names if name not in waiting and states[name] in ("parked", "replayed", None)]

    def _append_event(self, event: Event) -> None:
        position = len(self.events)
        self.events.append(event)
        self._positions[event.ref] = position
        self._latest[event.type] = position
        if self.length < self.begins:
            self.first = position + 1
            return
        for one in self.receivers_of(event):
            self._enqueue(position, one.name)

    def _append_delivery(self, delivery: Delivery) -> None:
        position, name = self._positions.get(delivery.event), delivery.subscriber
        if position is None:
            return
        before = self._status.get((position, name))
        self._status[position, name] = delivery.status
        if delivery.status == "replayed":
            if name in self.subscribers and before != "replayed":
                self._enqueue(position, name)
            return
        queue = self.queue_of(position, name)
        waiting = self._queues.get(queue)
        if waiting is None or position not in waiting:
            return
        waiting.remove(position)  # the first one, but for what is filtered
        self.pending -= 1
        if waiting:
            self._queues.move_to_end(queue)  # so that no source keeps the others waiting
        else:
            del self._queues[queue]

    def _enqueue(self, position: int, name: str) -> None:
        self._queues.setdefault(self.queue_of(position, name), deque()).append(position)
        self.pending += 1


class EventIndexes:
    """The indexes of the runs of one graph in this process. One that does not fit a log is made again."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._subscribers = {one.name: one for one in subscribers}
        self._known: OrderedDict[str, tuple[EventIndex, str | None]] = OrderedDict()
        self._lock = Lock()

    def take(self, account: str, log: Sequence[str], begins: int) -> EventIndex:
        """Return the index of a log, which the caller changes; `keep` gives it back with the log that it then fits."""
        with self._lock:
            index, last = self._known.pop(account, (None, None))
        is_prefix = index is not None and index.length <= len(log) and index.begins == begins
        if index is None or not is_prefix or (index.length > 0 and log[index.length - 1] is not last):
            index = EventIndex(self._subscribers, begins)
        for line in log[index.length :]:
            index.append(entry_of(line))
        return index

    def keep(self, account: str, index: EventIndex, log: Sequence[str]) -> None:
        """Keep an index that fits a log."""
        with self._lock:
            self._known[account] = index, log[-1] if log else None
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
