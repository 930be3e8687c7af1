"""What one execution of a gate does with events: it collects what becomes of them, and writes it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.guards import Limits
from guardgraph.nodes.decisions.event_filter import decision_of
from guardgraph.nodes.decisions.event_index import EventIndex, EventIndexes, PendingDelivery, Subscriber
from guardgraph.nodes.gate_context import GateContext
from guardgraph.state import (
    Delivery,
    EarlyStop,
    Event,
    Gap,
    LogEntry,
    Request,
    Subtask,
    Verdict,
    line_of,
)
from guardgraph.state.delivery import Subscribed
from guardgraph.storage.published import PublishedEvent

__all__ = ("EventRules", "EventWork", "position_in")

_BATCH = 64
"""Deliveries that are made in one superstep at most."""
_READ = 256
"""Published events that are read at once at most."""
_READING = 5.0
"""Seconds after which no more is read."""
_AHEAD = 1024
"""Deliveries that wait at most while more is read, so that a source with much to deliver does not keep back others."""
_ID = 100
"""Characters of the id of a subtask."""


@dataclass(frozen=True, slots=True, eq=False)
class EventRules:
    """What a reactive team was given, once it was checked."""

    agents: Mapping[str, Agent]
    """The subscribers by name."""
    heads: Mapping[str, str]
    """The subscriber in whose place each agent works, by name: itself, or that of which it is a fallback."""
    subscribers: tuple[Subscriber, ...]
    accepts: frozenset[str]
    until: frozenset[str]
    value: str | tuple[str, ...]
    """The type whose latest data is the value, or the types of which all data is; empty for neither."""
    keeps_values: bool
    """Whether the value of a run is made of the answers to all events."""
    depth: int
    events: int
    indexes: EventIndexes
    reserved: frozenset[str]
    """The sources that nothing from outside may have: the names of the team's agents, and that of the task."""


def position_in(subtask_id: str) -> int:
    """Return where the event is in the log to which the subtask of a delivery belongs."""
    return int(subtask_id.partition(":")[0])


@dataclass(slots=True)
class EventWork:
    """The events and deliveries of one execution of a gate. Nothing is written before `write`."""

    gate: GateContext
    rules: EventRules
    index: EventIndex
    cursor: int
    _lines: list[str] = field(default_factory=list[str])
    _is_moved: bool = False
    """Whether published events were read, also such as are not in the log."""

    @classmethod
    def of(cls, gate: GateContext, rules: EventRules, *, task: Event | None = None) -> EventWork:
        """Return the work of a gate that has not done anything yet; a run begins with the event of its `task`."""
        index = rules.indexes.take(gate.position.account, gate.state.get("event_log") or [])
        work = cls(gate, rules, index, gate.state.get("published") or 0)
        present = {one.name: one.types for one in rules.subscribers}
        if task is not None or index.receiving != present:
            types = {name: tuple(sorted(some)) for name, some in present.items()}
            work._append(Subscribed(subscribers=types, task=task and task.ref))
            for position, name in index.unreachable():
                work.park(position, name, f"{name!r} does not subscribe any more")
        if task is not None:
            work.add(task)
        return work

    def event_at(self, position: int) -> Event:
        """Return an event of the log, also one that was added just now."""
        return self.index.events[position]

    def is_free(self) -> bool:
        """Return whether no subscriber needs an allowance."""
        return all(agent.kind == "function" for agent in self.rules.agents.values())

    # Events

    @property
    def end(self) -> int:
        """The position of the first event that the run may not have."""
        return self.index.first + self.rules.events

    @property
    def is_full(self) -> bool:
        """Whether the run may have no more events."""
        return len(self.index.events) >= self.end

    def unread(self) -> int:
        """Return how many published events were not read."""
        reader = self.gate.services.published
        return 0 if reader is None else max(reader.last() - self.cursor, 0)

    def overflow(self) -> EarlyStop | None:
        """Return what ends a run that has more to deliver than it may; `None` for any other."""
        if self.index.pending or (self.is_full and self.unread()):
            why = f"the run has had {self.rules.events} events, and may have no more"
            return EarlyStop(status="degraded", stopped_by="events", reason=why)
        return None

    def add(self, event: Event) -> None:
        """Add an event to the log unless it is there; one to which more have led than the team allows is a gap.

        One beyond the number of events of a run is in the log, and is delivered by the next run.
        """
        if self.index.position_of(event.ref) is not None:
            return
        if event.depth > self.rules.depth:
            what = f"{event.type!r} is event {event.depth} of a chain of causes, {self.rules.depth} are allowed"
            self._refuse(event, "depth", what, is_external=False)
            return
        self._append(event)
        for name in self.index.receivers_of(event):
            self._filter(event, name)

    def add_external(self, event: Event) -> None:
        """Add an event from outside; one that the team does not accept is a gap."""
        known, reserved = self.rules.accepts, self.rules.reserved
        if event.type not in known:
            listed = ", ".join(map(repr, sorted(known))) or "none"
            self._refuse(event, "accepts", f"events of type {event.type!r} are not accepted from outside, but {listed}")
        elif event.source in reserved:
            self._refuse(event, "accepts", f"nothing from outside may have the source {event.source!r}")
        elif self._is_taken(event):
            self._refuse(event, "id", f"another event of {event.source!r} has the id {event.id!r}")
        else:
            facts = {"caused_by": None, "depth": 0, "time": event.time or self.gate.now, "trusted": False}
            self.add(event.model_copy(update=facts))

    def read_published(self) -> None:
        """Add what was published since the last reading, until enough is to be delivered, or all was read."""
        while self._read() and not self.index.pending:
            pass

    def _read(self) -> bool:
        """Add some of what was published; return whether there may be more."""
        reader, room, before = self.gate.services.published, min(_READ, _AHEAD - self.index.pending), self.cursor
        if reader is None or room <= 0:
            return False
        begun = monotonic()
        for one in reader.after(self.cursor, room):
            if monotonic() - begun > _READING and self.index.pending:  # predicates are slow: the others go first
                break
            if one.replays:
                self._replay(one)
            elif self.is_full and self.index.position_of(one.event.ref) is None:
                return False
            else:
                self.add_external(one.event)
            self.cursor, self._is_moved = one.number, True
        return self.cursor > before

    # Deliveries

    def settle(self, delivery: Delivery) -> None:
        """Record what has become of a delivery."""
        self._append(delivery)

    def gaps_of(self, subtask_id: str) -> tuple[Gap, ...]:
        """Take the gaps that this gate has written for a delivery out of the state: its entry in the log has them."""
        found = [gap for gap in self.gate.state.get("gaps") or () if gap.subtask == subtask_id and not gap.path]
        self.gate.withdraw(found)
        return tuple(found)

    def next_sends(self, again: Sequence[Send]) -> list[Send]:
        """Return the requests of the next deliveries beside attempts that are made `again`.

        What a guard of `dispatch` stops is parked, and is a gap.
        """
        gate, sends = self.gate, list[Send]()
        busy = {self._queue_of(send) for send in again}
        while len(again) + len(sends) < _BATCH:
            picked = self.index.next_deliveries(_BATCH - len(again) - len(sends), busy, before=self.end)
            made = [(one, self._send(one)) for one in picked]
            passed = {send.arg["request"].subtask.id: send for send in gate.allowed([send for _, send in made])}
            if gate.state.get("ending") is not None or not made:
                return [] if made else sends
            for one, _ in made:
                send = passed.get(self.subtask_id(one.position, one.subscriber))
                if send is not None:
                    busy.add(one.queue)
                    sends.append(send)
                else:
                    self.park(one.position, one.subscriber, "it may not be sent")
        return sends

    def park(
        self, position: int, name: str, reason: str, *, guard: str | None = None, gaps: tuple[Gap, ...] = ()
    ) -> None:
        """Park a delivery with its gaps: those that are given or were written for it, or one for this `reason`.

        Their reasons name the event, by the `ref` under which it can be delivered again.
        """
        subtask, event = self.subtask_id(position, name), self.event_at(position).ref
        gaps = gaps or self.gaps_of(subtask) or (Gap(subtask=subtask, agent=name, reason=reason, guard=guard),)
        error, of_team_within = gaps[-1].reason, all(gap.path for gap in gaps)
        named = tuple(
            gap.model_copy(update={"reason": f"event {event}: {gap.reason}"}) if of_team_within or not gap.path else gap
            for gap in gaps
        )
        self.settle(Delivery(event=event, subscriber=name, status="parked", error=error, gaps=named))

    # Writes

    def write(self) -> None:
        """Write all that was collected; a visit of the gate that brings the run on does not count for its limit."""
        gate = self.gate
        if self._lines:
            if gate.node in gate.team.kinds and not any(isinstance(guard, Limits) for guard in gate.guards):
                gate.write_unchecked(visits={gate.node: -1})
            gate.write_unchecked(event_log=self._lines)
        if self._is_moved:
            gate.write_unchecked(published=self.cursor)
        self._keep()

    def pause(self) -> None:
        """Keep what is known of the log for the next execution of this gate, where this one has added nothing."""
        if not self._lines:
            self._keep()

    # Details

    def _append(self, entry: LogEntry) -> None:
        self._lines.append(line_of(entry))
        self.index.append(entry)

    def _keep(self) -> None:
        gate = self.gate
        self.rules.indexes.keep(gate.position.account, self.index, gate.state.get("event_log") or [])

    def _filter(self, event: Event, name: str) -> None:
        """Settle the delivery of an event where the predicate of its subscriber excludes it, or fails."""
        one = self.index.subscribers.get(name)
        if one is None or one.matches is None:
            return
        matches, problem = decision_of(one.matches, event)
        if problem:
            self.park(self.index.position_of(event.ref) or 0, name, problem, guard="where")
        elif not matches:
            self.settle(Delivery(event=event.ref, subscriber=name, status="filtered"))

    def _replay(self, one: PublishedEvent) -> None:
        position = self.index.position_of(one.event.ref)
        if position is None:
            self._refuse(one.event, "replay", "it is not in the log, so that it cannot be delivered again")
            return
        event = self.event_at(position)
        for name in self.index.replayable(position):
            self.settle(Delivery(event=event.ref, subscriber=name, status="replayed"))
            self._filter(event, name)

    def _is_taken(self, event: Event) -> bool:
        """Return whether the log has an event of this source and id that is another one."""
        position = self.index.position_of(event.ref)
        return position is not None and not event.is_same(self.event_at(position))

    def _refuse(self, event: Event, by: str, reason: str, *, is_external: bool = True) -> None:
        """Refuse an event, with a verdict and a gap that name it."""
        self.gate.emit(Verdict(guard=by, gate="dispatch", subject=event.ref, action="trip", reason=reason))
        agent = event.source or None
        gap = Gap(subtask=event.ref, agent=agent, guard=by, reason=reason, is_external=is_external)
        self.settle(Delivery(event=event.ref, subscriber="", status="refused", error=reason, gaps=(gap,)))

    def _send(self, one: PendingDelivery) -> Send:
        event, agent = self.event_at(one.position), self.rules.agents[one.subscriber]
        subtask = Subtask(
            id=self.subtask_id(one.position, one.subscriber),
            goal=f"Handle the event {event.type!r} from {event.source!r}",
            inputs={"event": event.model_dump(mode="json", exclude={"trusted"}, exclude_defaults=True)},
        )
        request: Request = self.gate.send(
            agent, subtask, context=self.gate.state.get("context") or (), trusted=event.trusted
        ).arg["request"]
        return self.gate.send_request(agent, request.model_copy(update={"handles_event": True}))

    def subtask_id(self, position: int, name: str) -> str:
        """Return the id under which gaps and results name a delivery: where its event is, its type, its subscriber."""
        end = f":{name}" if len(name) <= _ID // 2 else f":{[*self.rules.agents].index(name)}"
        return f"{position}:{self.event_at(position).type}"[: _ID - len(end)] + end

    def _queue_of(self, send: Send) -> tuple[str, str]:
        request = send.arg["request"]
        found = request if isinstance(request, Request) else Request.model_validate(request)
        position = position_in(found.subtask.id) if found.subtask is not None else 0
        name = self.rules.heads.get(send.node, send.node)
        return self.index.queue_of(position, name)
