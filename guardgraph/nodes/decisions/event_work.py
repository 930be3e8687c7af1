"""What one execution of a gate does with events: it collects what becomes of them, and writes it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.guards import Limits
from guardgraph.nodes.decisions.event_index import EventIndex, EventIndexes, PendingDelivery, Subscriber
from guardgraph.nodes.gate_context import GateContext
from guardgraph.runtime.concurrency import isolation
from guardgraph.state import (
    Delivery,
    EarlyStop,
    Event,
    Gap,
    Request,
    Result,
    Subtask,
    Verdict,
    error_text,
    line_of,
)
from guardgraph.storage.published import PublishedEvent

__all__ = ("EventRules", "EventWork", "position_in")

_BATCH = 64
"""Deliveries that are made in one superstep at most."""
_NAMED = 20
"""Deliveries that were not made are named in gaps of their own, so many of them."""
_PATIENCE = 5.0
"""Seconds that a predicate may take."""
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
    overflow: EarlyStop | None = None
    """What ends the run since there are more events than it may have."""
    _lines: list[str] = field(default_factory=list[str])
    _gaps: list[Gap] = field(default_factory=list[Gap])
    _is_moved: bool = False
    """Whether published events were read, also such as are not in the log."""

    @classmethod
    def of(cls, gate: GateContext, rules: EventRules) -> EventWork:
        """Return the work of a gate that has not done anything yet."""
        log, begins = gate.state.get("event_log") or [], gate.state.get("log_begin") or 0
        index = rules.indexes.take(gate.position.account, log, begins)
        return cls(gate, rules, index, gate.state.get("published") or 0)

    def event_at(self, position: int) -> Event:
        """Return an event of the log, also one that was added just now."""
        return self.index.events[position]

    def is_free(self) -> bool:
        """Return whether no subscriber needs an allowance."""
        return all(agent.kind == "function" for agent in self.rules.agents.values())

    # Events

    def add(self, event: Event) -> bool:
        """Add an event to the log unless it is there; return whether the run may have it.

        One to which more events have led than the team allows is a gap, and so is one beyond its number of events.
        """
        if self.index.position_of(event.ref) is not None:
            return True
        if event.depth > self.rules.depth:
            what = f"{event.type!r} is event {event.depth} of a chain of causes, {self.rules.depth} are allowed"
            self._refuse(event, "depth", what)
            return True
        if len(self.index.events) - self.index.first >= self.rules.events:
            why = f"the run has had {self.rules.events} events, and may have no more"
            self.overflow = EarlyStop(status="degraded", stopped_by="events", reason=why)
            if event.caused_by is not None:
                self._gaps.append(Gap(subtask=event.ref, agent=event.source, guard="events", reason=why))
            return False
        self._append(event)
        for one in self.index.receivers_of(event):
            self._filter(event, one)
        return True

    def add_external(self, event: Event) -> bool:
        """Add an event from outside; return whether the run may have it. One that the team does not accept is a gap."""
        known, reserved = self.rules.accepts, self.rules.reserved
        if event.type not in known:
            listed = ", ".join(map(repr, sorted(known))) or "none"
            self._refuse(event, "accepts", f"events of type {event.type!r} are not accepted from outside, but {listed}")
        elif event.source in reserved:
            self._refuse(event, "accepts", f"nothing from outside may have the source {event.source!r}")
        else:
            facts = {"caused_by": None, "depth": 0, "time": event.time or self.gate.now}
            return self.add(event.model_copy(update=facts))
        return True

    def read_published(self) -> None:
        """Add what was published since the last reading, as far as not much else is to be delivered."""
        reader, room = self.gate.services.published, 4 * _BATCH - self.index.pending
        if reader is None or room <= 0 or self.overflow is not None:
            return
        for one in reader.after(self.cursor, room):
            if not (self._replay(one) if one.replays else self.add_external(one.event)):
                return
            self.cursor, self._is_moved = one.number, True

    # Deliveries

    def settle(self, delivery: Delivery) -> None:
        """Record what has become of a delivery."""
        self._append(delivery)

    def reason_of(self, result: Result) -> str:
        """Return why a result was refused for good: the reason of its gap."""
        gaps: Sequence[Gap] = self.gate.state.get("gaps") or ()
        found = next((gap for gap in reversed(gaps) if gap.subtask == result.subtask and not gap.path), None)
        return found.reason if found is not None else result.error.message if result.error else "no answer"

    def next_sends(self, again: Sequence[Send]) -> list[Send]:
        """Return the requests of the next deliveries beside attempts that are made `again`.

        What a guard of `dispatch` stops is parked, and is a gap.
        """
        gate, sends = self.gate, list[Send]()
        busy = {self._queue_of(send) for send in again}
        while len(again) + len(sends) < _BATCH:
            picked = self.index.next_deliveries(_BATCH - len(again) - len(sends), busy)
            made = [(one, self._send(one)) for one in picked]
            passed = {id(send) for send in gate.allowed([send for _, send in made])}
            if gate.state.get("ending") is not None or not made:
                return [] if made else sends
            for one, send in made:
                if id(send) in passed:
                    busy.add(one.queue)
                    sends.append(send)
                else:
                    why = gate.last_trip.reason if gate.last_trip is not None else "it may not be sent"
                    self._park(one.position, one.subscriber, why)
        return sends

    def leave_open(self, stop: EarlyStop) -> None:
        """Add gaps for what is not delivered since the run is stopped."""
        reason, rest = f"not delivered, since the run was stopped: {stop.reason}", 0
        for number, (position, name) in enumerate(self.index.waiting()):
            if number < _NAMED:
                subtask = self._subtask_id(position, name)
                self._gaps.append(Gap(subtask=subtask, agent=name, reason=reason, guard=stop.stopped_by))
            rest += number >= _NAMED
        if rest:
            self._gaps.append(Gap(subtask="deliveries", reason=f"{rest} more were {reason}", guard=stop.stopped_by))

    # Writes

    def write(self) -> None:
        """Write all that was collected; a visit of the gate that brings the run on does not count for its limit."""
        gate = self.gate
        if self._lines:
            if gate.node in gate.team.kinds and not any(isinstance(guard, Limits) for guard in gate.team.guards):
                gate.write_unchecked(visits={gate.node: -1})
            gate.write_unchecked(event_log=self._lines)
        if self._is_moved:
            gate.write_unchecked(published=self.cursor)
        if self._gaps:
            gate.write_unchecked(gaps=self._gaps)
        self._keep()

    def pause(self) -> None:
        """Keep what is known of the log for the next execution of this gate, where this one has added nothing."""
        if not self._lines:
            self._keep()

    # Details

    def _append(self, entry: Event | Delivery) -> None:
        self._lines.append(line_of(entry))
        self.index.append(entry)

    def _keep(self) -> None:
        gate = self.gate
        self.rules.indexes.keep(gate.position.account, self.index, gate.state.get("event_log") or [])

    def _filter(self, event: Event, one: Subscriber) -> None:
        """Settle the delivery of an event where the predicate of its subscriber excludes it, or fails."""
        if one.matches is None:
            return
        matches, problem = _decision_of(one.matches, event)
        if problem:
            self._park(self.index.position_of(event.ref) or 0, one.name, problem, is_new=True)
        elif not matches:
            self.settle(Delivery(event=event.ref, subscriber=one.name, status="filtered"))

    def _park(self, position: int, name: str, reason: str, *, is_new: bool = False) -> None:
        """Park a delivery with its error; it is a gap, which `is_new` where no guard has written one."""
        self.settle(Delivery(event=self.event_at(position).ref, subscriber=name, status="parked", error=reason))
        if is_new:
            self._gaps.append(Gap(subtask=self._subtask_id(position, name), agent=name, reason=reason, guard="where"))

    def _replay(self, one: PublishedEvent) -> bool:
        position = self.index.position_of(one.event.ref)
        if position is None:
            self._refuse(one.event, "replay", "it is not in the log, so that it cannot be delivered again")
            return True
        event = self.event_at(position)
        for name in self.index.replayable(position):
            self.settle(Delivery(event=event.ref, subscriber=name, status="replayed"))
            self._filter(event, self.index.subscribers[name])
        return True

    def _refuse(self, event: Event, by: str, reason: str) -> None:
        """Leave an event out of the log, with a verdict and a gap that name it."""
        verdict = Verdict(guard=by, gate="dispatch", subject=event.ref, action="trip", reason=reason)
        self.gate.emit(verdict)
        self.gate.write_unchecked(verdicts=[verdict])
        self._gaps.append(Gap(subtask=event.ref, agent=event.source or None, guard=by, reason=reason))

    def _send(self, one: PendingDelivery) -> Send:
        event, agent = self.event_at(one.position), self.rules.agents[one.subscriber]
        subtask = Subtask(
            id=self._subtask_id(one.position, one.subscriber),
            goal=f"Handle the event {event.type!r} from {event.source!r}",
            inputs={"event": event.model_dump(mode="json", exclude_defaults=True)},
        )
        return self.gate.send(agent, subtask, context=self.gate.state.get("context") or ())

    def _subtask_id(self, position: int, name: str) -> str:
        """Return the id under which gaps and results name a delivery: where its event is, its type, its subscriber."""
        end = f":{name}" if len(name) <= _ID // 2 else f":{[*self.rules.agents].index(name)}"
        return f"{position}:{self.event_at(position).type}"[: _ID - len(end)] + end

    def _queue_of(self, send: Send) -> tuple[str, str]:
        request = send.arg["request"]
        found = request if isinstance(request, Request) else Request.model_validate(request)
        position = position_in(found.subtask.id) if found.subtask is not None else 0
        name = self.rules.heads.get(send.node, send.node)
        return self.index.queue_of(position, name)


def _decision_of(matches: Callable[[Event], bool], event: Event) -> tuple[bool, str]:
    """Return what a predicate decides of an event, and what is wrong with it."""
    try:
        found: object = isolation.run_in_thread(lambda: matches(event), timeout=_PATIENCE)
    except isolation.TimedOut:
        return False, f"the predicate gave no answer within {_PATIENCE:g} s"
    except (Exception, SystemExit) as error:
        return False, f"the predicate raised {error_text(error)}"
    if not isinstance(found, bool):
        return False, f"the predicate returned {type(found).__name__}, not a bool"
    return found, ""
