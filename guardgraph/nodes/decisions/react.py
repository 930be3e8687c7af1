"""Deliver events at the gates of a reactive team: from the log to subscribers, and what these emit to the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from langgraph.config import get_config
from langgraph.types import Send, interrupt
from pydantic import JsonValue, TypeAdapter, ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.event_outcome import close_log, drop_settled_results
from guardgraph.nodes.decisions.event_work import EventRules, EventWork, position_in
from guardgraph.nodes.decisions.review import gaps_within, review_results
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.graph_config import has_answer
from guardgraph.state import (
    TASK_EVENT,
    Delivery,
    EarlyStop,
    Event,
    Gap,
    Request,
    Result,
    RunState,
    append_lines,
    new_id,
    validation_text,
)

__all__ = ("WAIT", "ReactiveState", "begin_events", "settle_deliveries", "wait_for_events")

WAIT = "dispatch_wait"
"""The gate in which a run waits for events from outside."""
_EVENTS = TypeAdapter(list[Event])


class ReactiveState(RunState, total=False):
    """The state of a reactive team. The log is that of the thread, over all its runs."""

    event_log: Annotated[list[str], append_lines]
    """Every event and what has become of it, in this order; `events_of` and `deliveries_of` read it."""
    published: int
    """The number of the last published event that is in the log."""
    log_closed: bool
    """Whether what the log shows of a run that ends is in the state."""


def begin_events(gate: GateContext, *, rules: EventRules) -> Destination:
    """Begin a run with the event of its task; a task that was delivered on the thread is not delivered again."""
    reader, is_outermost = gate.services.published, gate.position.account == gate.position.run_id
    cursor = gate.state.get("published") if is_outermost else None
    if cursor is None:
        cursor = 0 if is_outermost or reader is None else reader.last()  # a nested team hears what comes from now on
    gate.write_unchecked(published=cursor, log_closed=False)
    task = gate.task
    data: dict[str, JsonValue] = {"goal": task.goal, "inputs": dict(task.inputs)}
    first = Event(
        type=TASK_EVENT, data=data, source=TASK_EVENT, id=task.id, time=gate.now, trusted=gate.position.trusted
    )
    return _deliver(EventWork.of(gate, rules, task=first))


def settle_deliveries(gate: GateContext, agents: Sequence[Agent], *, rules: EventRules) -> Destination | None:
    """Review what subscribers have answered, add what they emit to the log, and deliver what comes next.

    An event whose attempts are used up is parked with the reason; all others go on.
    """
    found = review_results(gate, agents)
    work, ending = EventWork.of(gate, rules), gate.state.get("ending")
    again = [one for one in found if isinstance(one, Send)] if isinstance(found, list) and ending is None else []
    tried = {_subtask(send) for send in again}
    accepted = {*(gate.state.get("accepted") or ())}
    for result in gate.reviewed:
        if result.subtask is not None and result.subtask not in tried:
            _settle(work, result, is_accepted=result.id in accepted)
    drop_settled_results(gate, tried)
    if found is not None and not again:
        return _ended(work, gate.state.get("ending"), lambda: found)
    return _deliver(work, again)


def wait_for_events(gate: GateContext, *, rules: EventRules) -> Destination:
    """Deliver what was published since, or wait for it."""
    return _deliver(EventWork.of(gate, rules), waits=True)


def _deliver(work: EventWork, again: Sequence[Send] = (), *, waits: bool = False) -> Destination:
    """Return where a run goes: to the subscribers of the next events, to where it waits for more, or to its end."""
    gate = work.gate
    if not (waits and has_answer(get_config())):  # an answer would be lost where something else comes first
        work.read_published()
    gate.needs_no_budget = work.is_free()
    if gate.needs_no_budget and gate.pending_stop is not None and gate.pending_stop.stopped_by == "Budget":
        gate.pending_stop = None
    stop = gate.stop_reason() if work.index.pending and not again else None
    if stop is not None:
        return _ended(work, stop, lambda: gate.stop_for(stop))
    sends = work.next_sends(again)
    ending: EarlyStop | None = gate.state.get("ending")
    if ending is not None:  # a guard of `dispatch` has ended the run
        return _ended(work, ending, lambda: gate.end(ending))
    if again or sends:
        work.write()
        return [*again, *sends]
    return _at_rest(work, waits=waits)


def _at_rest(work: EventWork, *, waits: bool) -> Destination:
    """Return where a run goes that has nothing to deliver: it waits for what `until` names, or ends."""
    gate, rules = work.gate, work.rules
    more = work.overflow()
    if more is not None:
        return _ended(work, more, lambda: gate.stop_for(more))
    if not rules.until or work.index.has_happened(rules.until):
        return _ended(work, None, lambda: _conclude(work))
    if not waits:
        work.write()
        gate.needs_no_budget = True  # nothing is sent
        return WAIT
    for event in _answered(work):
        work.add_external(event)
    return _deliver(work, waits=True)


def _answered(work: EventWork) -> list[Event]:
    """Wait until a caller answers with events, or until some are published; an answer that is no event asks again."""
    facts = {
        "waits_for": sorted(work.rules.until),
        "accepts": sorted(work.rules.accepts),
        "published": work.cursor,
    }
    question: dict[str, Any] = facts
    work.pause()
    while True:
        answer = interrupt(question)
        try:
            found = _EVENTS.validate_python(answer if isinstance(answer, list) else [answer])
        except ValidationError as error:
            question = {"problem": f"an answer is an event, or a list: {validation_text(error)}", **facts}
        else:
            return [
                one.model_copy(update={"source": one.source or "caller", "id": one.id or new_id()}) for one in found
            ]


def _ended(work: EventWork, stop: EarlyStop | None, destination: Callable[[], Destination]) -> Destination:
    """Write what the log shows of the run, and return where it ends."""
    work.write()
    close_log(work, stop)
    return destination()


def _settle(work: EventWork, result: Result, *, is_accepted: bool) -> None:
    """Record what has become of one delivery; what an accepted result emits is in the log from now on."""
    name = result.fallback_for or result.agent
    subtask = str(result.subtask)
    cause = work.event_at(position_in(subtask))
    if not is_accepted:
        why = result.error.message if result.error else "no answer"
        gaps = (*result.gaps, *work.gaps_of(subtask))
        work.gate.withdraw([*result.gaps])
        work.park(position_in(subtask), name, why, gaps=gaps)
        return
    gaps = tuple(gaps_within(result))
    work.gate.withdraw([*gaps])
    answer: dict[str, Any] = {}
    if work.rules.keeps_values:
        answer = {one: getattr(result, one) for one in ("value", "evidence", "confidence", "dissent")}
    work.settle(Delivery(event=cause.ref, subscriber=name, status="handled", result=result.id, gaps=gaps, **answer))
    for number, event in enumerate(result.events, 1):
        facts = {
            "id": f"{result.id.partition('/')[2]}.{number}",
            "source": name,
            "caused_by": cause.ref,
            "depth": cause.depth + 1,
            "trusted": result.trusted,
        }
        work.add(event.model_copy(update={**facts, "time": event.time or work.gate.now}))


def _conclude(work: EventWork) -> Destination:
    """End a run; its value are the events that `value` names, or what its author writes."""
    gate, value = work.gate, work.rules.value
    if not value:
        return gate.conclude()
    types = {value} if isinstance(value, str) else {*value}
    events = [event for event in work.index.events[work.index.first :] if event.type in types]
    data = [event.data for event in events]
    if not data:
        reason = f"no event of the type {' or '.join(map(repr, sorted(types)))} has happened"
        gate.write_unchecked(gaps=[Gap(subtask="result", reason=reason)])
        return gate.conclude()
    found: Any = data[-1] if isinstance(value, str) else data
    return gate.conclude(
        Result(
            id="events/value",
            agent=gate.team.name,
            value=found,
            subtask="result",
            trusted=all(one.trusted for one in events),
        )
    )


def _subtask(send: Send) -> str:
    request = send.arg["request"]
    found = request if isinstance(request, Request) else Request.model_validate(request)
    return found.subtask.id if found.subtask is not None else ""
