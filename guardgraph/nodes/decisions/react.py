"""Deliver events at the gates of a reactive team: from the log to subscribers, and what these emit to the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from langgraph.config import get_config
from langgraph.types import Overwrite, Send, interrupt
from pydantic import JsonValue, TypeAdapter, ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.event_work import EventRules, EventWork, position_in
from guardgraph.nodes.decisions.review import review_results
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.graph_config import has_answer
from guardgraph.state import (
    TASK_EVENT,
    AgentError,
    Delivery,
    EarlyStop,
    Event,
    Gap,
    Request,
    Result,
    RunState,
    Usage,
    append_all,
    new_id,
    validation_text,
)

__all__ = ("WAIT", "ReactiveState", "begin_events", "settle_deliveries", "wait_for_events")

WAIT = "dispatch_wait"
"""The gate in which a run waits for events from outside."""
_KEPT = 100
"""How many results are kept at least; twice as many, and the older half becomes one entry."""
_EVENTS = TypeAdapter(list[Event])


class ReactiveState(RunState, total=False):
    """The state of a reactive team. The log is that of the thread, over all its runs."""

    event_log: Annotated[list[str], append_all]
    """Every event and what has become of it, in this order; `events_of` and `deliveries_of` read it."""
    log_begin: int
    """How many entries the log had when the present run began."""
    published: int
    """The number of the last published event that is in the log."""


def begin_events(gate: GateContext, *, rules: EventRules) -> Destination:
    """Begin a run with the event of its task; a task that the thread knows already is not delivered again."""
    reader, is_outermost = gate.services.published, gate.position.account == gate.position.run_id
    cursor = gate.state.get("published") if is_outermost else None
    if cursor is None:
        cursor = 0 if is_outermost or reader is None else reader.last()  # a nested team hears what comes from now on
    gate.write_unchecked(log_begin=len(gate.state.get("event_log") or ()), published=cursor)
    work = EventWork.of(gate, rules)
    task = gate.task
    data: dict[str, JsonValue] = {"goal": task.goal, "inputs": dict(task.inputs)}
    work.add(Event(type=TASK_EVENT, data=data, source=TASK_EVENT, id=task.id, time=gate.now))
    return _deliver(work)


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
    _drop_old_results(gate, {*tried})
    if found is not None and not again:
        work.write()
        return found
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
    stop = work.overflow or (gate.stop_reason() if work.index.pending and not again else None)
    if stop is not None:
        work.leave_open(stop)
        work.write()
        return gate.stop_for(stop)
    sends = work.next_sends(again)
    ending: EarlyStop | None = gate.state.get("ending")
    if ending is not None:  # a guard of `dispatch` has ended the run
        work.write()
        return gate.end(ending)
    if again or sends:
        work.write()
        return [*again, *sends]
    return _at_rest(work, waits=waits)


def _at_rest(work: EventWork, *, waits: bool) -> Destination:
    """Return where a run goes that has nothing to deliver: it waits for what `until` names, or ends."""
    gate, rules = work.gate, work.rules
    if not rules.until or work.index.has_happened(rules.until):
        work.write()
        return _conclude(work)
    if not waits:
        work.write()
        gate.needs_no_budget = True  # nothing is sent
        return WAIT
    for event in _answered(work):
        work.add_external(event)
    return _deliver(work, waits=True)


def _answered(work: EventWork) -> list[Event]:
    """Wait until a caller answers with events, or until some are published; an answer that is no event asks again."""
    question: dict[str, Any] = {
        "waits_for": sorted(work.rules.until),
        "accepts": sorted(work.rules.accepts),
        "published": work.cursor,
    }
    work.pause()
    while True:
        answer = interrupt(question)
        try:
            found = _EVENTS.validate_python(answer if isinstance(answer, list) else [answer])
        except ValidationError as error:
            question = {**question, "problem": f"an answer is an event, or a list: {validation_text(error)}"}
        else:
            return [
                one.model_copy(update={"source": one.source or "caller", "id": one.id or new_id()}) for one in found
            ]


def _settle(work: EventWork, result: Result, *, is_accepted: bool) -> None:
    """Record what has become of one delivery; what an accepted result emits is in the log from now on."""
    name = result.fallback_for or result.agent
    cause = work.event_at(position_in(str(result.subtask)))
    if not is_accepted:
        work.settle(Delivery(event=cause.ref, subscriber=name, status="parked", error=work.reason_of(result)))
        return
    work.settle(Delivery(event=cause.ref, subscriber=name, status="handled", result=result.id))
    for number, event in enumerate(result.events, 1):
        facts = {
            "id": f"{result.id.partition('/')[2]}.{number}",
            "source": name,
            "caused_by": cause.ref,
            "depth": cause.depth + 1,
        }
        work.add(event.model_copy(update={**facts, "time": event.time or work.gate.now}))


def _conclude(work: EventWork) -> Destination:
    """End a run; its value are the events that `value` names, or what its author writes."""
    gate, value = work.gate, work.rules.value
    if not value:
        return gate.conclude()
    types = {value} if isinstance(value, str) else {*value}
    data = [event.data for event in work.index.events[work.index.first :] if event.type in types]
    if not data:
        reason = f"no event of the type {' or '.join(map(repr, sorted(types)))} has happened"
        gate.write_unchecked(gaps=[Gap(subtask="result", reason=reason)])
        return gate.conclude()
    found: Any = data[-1] if isinstance(value, str) else data
    return gate.conclude(Result(id="events/value", agent=gate.team.name, value=found, subtask="result"))


def _drop_old_results(gate: GateContext, needed: set[str]) -> None:
    """Keep only the latest results, so that a long run costs no more for each event than a short one.

    What the others have spent is kept as one entry.
    """
    results: list[Result] = gate.state.get("results") or []
    if len(results) <= 2 * _KEPT:
        return
    old, kept = results[:-_KEPT], results[-_KEPT:]
    why = AgentError(kind="skipped", message=f"{len(old)} earlier results are not kept; the deliveries name them")
    usage = Usage.total(result.usage for result in old)
    first = Result(id="earlier results", agent=gate.team.name, status="skipped", usage=usage, error=why)
    ids, named = {result.id for result in kept}, needed | {str(result.subtask) for result in kept}
    gate.write_unchecked(
        results=Overwrite([first, *kept]),
        accepted=Overwrite([id_ for id_ in gate.state.get("accepted") or () if id_ in ids]),
        refused=Overwrite([first.id, *(id_ for id_ in gate.state.get("refused") or () if id_ in ids)]),
        subtasks=Overwrite([one for one in gate.state.get("subtasks") or () if one.id in named]),
    )


def _subtask(send: Send) -> str:
    request = send.arg["request"]
    found = request if isinstance(request, Request) else Request.model_validate(request)
    return found.subtask.id if found.subtask is not None else ""
