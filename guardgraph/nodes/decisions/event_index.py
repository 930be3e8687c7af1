"""Which events of a log are still to be delivered, and to which subscribers: an index that grows with the log. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple

from guardgraph.state import TASK_EVENT, Delivery, DeliveryStatus, Event, LogEntry, entries_in
from guardgraph.state.delivery import Subscribed

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

    What an earlier run has left open is to be delivered by the next one, but for its task.
    """

    subscribers: Mapping[str, Subscriber]
    """Those of the present graph."""
    receiving: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    """The types of events of each subscriber, by its name, as the log has them last."""
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

    def __post_init__(self) -> None:
        self.receiving = self.receiving or {one.name: one.types for one in self.subscribers.values()}

    def position_of(self, ref: str) -> int | None:
        """Return where an event is among the events of the log; `None` for one that is not there."""
        return self._positions.get(ref)

    def has_happened(self, types: Collection[str]) -> bool:
        """Return whether an event of one of these types has come in the present run."""
        return any(self._latest.get(one, -1) >= self.first for one in types)

    def receivers_of(self, event: Event) -> list[str]:
        """Return the names of the subscribers to the type of an event; the agent that has emitted it is none."""
        return [name for name, types in self.receiving.items() if event.type in types and name != event.source]

    def append(self, entry: LogEntry) -> None:
        """Add the next entry of the log: an event, what has become of one, or who subscribes from here on."""
        if isinstance(entry, Event):
            self._append_event(entry)
        elif isinstance(entry, Delivery):
            self._append_delivery(entry)
        else:
            self._append_subscribed(entry)

    def next_deliveries(self, at_most: int, busy: Collection[tuple[str, str]], *, before: int) -> list[PendingDelivery]:
        """Return what can be delivered at once: the first one of each queue that is not `busy`, oldest turn first.

        Only events at positions `before` this one are delivered.
        """
        found: list[PendingDelivery] = []
        for queue, waiting in self._queues.items():
            if len(found) >= at_most:
                break
            if queue not in busy and waiting[0] < before:
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
        names = self.receivers_of(self.events[position])
        states = {name: self._status.get((position, name)) for name in names}
        return [
            name for name in names if states[name] in ("parked", "replayed", None) and not self._waits(position, name)
        ]

    def unreachable(self) -> list[tuple[int, str]]:
        """Return what waits for subscribers that the present graph does not have."""
        return [(position, name) for position, name in self.waiting() if name not in self.subscribers]

    def _append_event(self, event: Event) -> None:
        position = len(self.events)
        self.events.append(event)
        self._positions[event.ref] = position
        self._latest[event.type] = position
        for name in self.receivers_of(event):
            self._enqueue(position, name)

    def _append_delivery(self, delivery: Delivery) -> None:
        position, name = self._positions.get(delivery.event), delivery.subscriber
        if position is None or delivery.status == "refused":
            return
        self._status[position, name] = delivery.status
        if delivery.status != "replayed":
            self._dequeue(position, name)
        elif name in self.subscribers and not self._waits(position, name):
            self._enqueue(position, name)

    def _append_subscribed(self, entry: Subscribed) -> None:
        self.receiving = {name: frozenset(types) for name, types in entry.subscribers.items()}
        if entry.task is None:
            return
        self.first = len(self.events)
        for position, name in list(self.waiting()):
            event = self.events[position]
            if event.type == TASK_EVENT and event.ref != entry.task:  # the thread has another task now
                self._dequeue(position, name)

    def _waits(self, position: int, name: str) -> bool:
        return position in self._queues.get(self.queue_of(position, name), ())

    def _enqueue(self, position: int, name: str) -> None:
        self._queues.setdefault(self.queue_of(position, name), deque()).append(position)
        self.pending += 1

    def _dequeue(self, position: int, name: str) -> None:
        queue = self.queue_of(position, name)
        waiting = self._queues.get(queue, deque[int]())
        if waiting and waiting[-1] == position:  # it was filtered as soon as it came
            waiting.pop()
        elif position in waiting:
            waiting.remove(position)  # the first one
        else:
            return
        self.pending -= 1
        if waiting:
            self._queues.move_to_end(queue)  # so that no source keeps the others waiting
        else:
            del self._queues[queue]


class EventIndexes:
    """The indexes of the runs of one graph in this process. One that does not fit a log is made again."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._subscribers = {one.name: one for one in subscribers}
        self._known: OrderedDict[str, tuple[EventIndex, Sequence[str]]] = OrderedDict()
        self._lock = Lock()

    def take(self, account: str, log: Sequence[str]) -> EventIndex:
        """Return the index of a log, which the caller changes; `keep` gives it back with the log that it then fits."""
        with self._lock:
            index, known = self._known.pop(account, (None, ()))
        if index is None or log[: len(known)] != known:  # the same objects, unless the log was read again
            index, known = EventIndex(self._subscribers), ()
        for entry in entries_in(log[len(known) :]):
            index.append(entry)
        return index

    def keep(self, account: str, index: EventIndex, log: Sequence[str]) -> None:
        """Keep an index that fits a log."""
        with self._lock:
            self._known[account] = index, log
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
