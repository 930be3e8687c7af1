"""A run that ends, by the log of its reactive team: what is missing, and the answers that are its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from langgraph.types import Overwrite

from guardgraph.nodes.decisions.event_work import EventRules, EventWork
from guardgraph.nodes.gate_context import GateContext
from guardgraph.state import AgentError, Delivery, EarlyStop, Gap, LogEntry, Result, Usage, entries_in
from guardgraph.state.delivery import Subscribed

__all__ = ("close_log", "close_log_at_exit", "drop_settled_results")

_NAMED = 20
"""Deliveries that were not made are named in gaps of their own, so many of them."""
_KEPT = 16
"""How many results of settled deliveries are kept at least."""
_SPARE = 48
"""How many more there may be, before all of these become one entry."""
_FOR_AUTHOR = 100, 100
"""The same two for a team in which an agent writes the value."""
_VERDICTS = 100
"""How many verdicts that stopped something are kept."""
_EARLIER = "earlier results"
"""The id of the entry in place of results that are not kept."""


def close_log(work: EventWork, stop: EarlyStop | None) -> None:
    """Write what the log shows of a run that ends: gaps, and its value where not all results are kept."""
    gate = work.gate
    if gate.state.get("log_closed"):
        return
    latest = _latest(entries_in(gate.state.get("event_log") or ()))
    gaps = [*chain.from_iterable(one.gaps for one in latest.values()), *_open(work, stop)]
    handled = [one for one in latest.values() if one.status == "handled"]
    is_dropped = any(result.id == _EARLIER for result in gate.state.get("results") or ())
    if is_dropped and gate.team.author is not None:
        kept = len(gate.state.get("accepted") or ())
        reason = f"{gate.team.author.name!r} was given the latest {kept} of {len(handled)} results"
        gaps.append(Gap(subtask="results", agent=gate.team.author.name, reason=reason))
    gate.write_unchecked(gaps=gaps, log_closed=True)
    if is_dropped and work.rules.keeps_values and handled and gate.state.get("draft") is None:
        gate.write_unchecked(draft=_value(work, handled))


def close_log_at_exit(gate: GateContext, *, rules: EventRules) -> None:
    """Do so in the exit, where the run has come there in another way than by the gates of the team."""
    if not gate.state.get("log_closed"):
        work = EventWork.of(gate, rules)
        close_log(work, gate.state.get("ending"))
        work.write()


def drop_settled_results(gate: GateContext, open_subtasks: set[str]) -> None:
    """Keep only the latest results, so that a long run costs no more for each event than a short one.

    Those of open subtasks stay. What the others have spent is kept as one entry, and the log has their answers.
    """
    results: list[Result] = gate.state.get("results") or []
    at_least, spare = (_KEPT, _SPARE) if gate.team.author is None else _FOR_AUTHOR
    settled = [result for result in results if result.subtask not in open_subtasks]
    if len(settled) <= at_least + spare:
        return
    accepted: list[str] = gate.state.get("accepted") or []
    ids = {result.id for result in settled[-at_least:]} | {*accepted[-1:]}  # one that is accepted shows that some were
    kept = [result for result in results if result.id in ids or result.subtask in open_subtasks]
    first = _summary(gate, [result for result in settled if result.id not in ids])
    known = {result.id for result in kept}
    named = open_subtasks | {str(result.subtask) for result in kept}
    reviews: list[Result] = gate.state.get("reviews") or []
    verdicts = gate.state.get("verdicts") or []
    trips = [one for one in verdicts if one.action == "trip"][:-_VERDICTS]
    gate.write_unchecked(
        results=Overwrite([first, *kept]),
        accepted=Overwrite([id_ for id_ in accepted if id_ in known]),
        refused=Overwrite([first.id, *(id_ for id_ in gate.state.get("refused") or () if id_ in known)]),
        subtasks=Overwrite([one for one in gate.state.get("subtasks") or () if one.id in named]),
    )
    if reviews:  # the gate has decided by all of them
        spent = _summary(gate, reviews).model_copy(update={"id": f"{_EARLIER}/reviews"})
        gate.write_unchecked(reviews=Overwrite([spent]))
    if trips:  # the events of the run have them all
        old = {*map(id, trips)}
        gate.write_unchecked(verdicts=Overwrite([one for one in verdicts if id(one) not in old]))


def _summary(gate: GateContext, old: list[Result]) -> Result:
    why = AgentError(
        kind="skipped", message="earlier results are not kept; the log of events has what has become of each"
    )
    usage = Usage.total(result.usage for result in old)
    return Result(id=_EARLIER, agent=gate.team.name, status="skipped", usage=usage, error=why)


def _latest(log: Iterable[LogEntry]) -> Mapping[tuple[str, str], Delivery]:
    """Return what has become last of each delivery of the present run, in the order in which that was settled."""
    found: dict[tuple[str, str], Delivery] = {}
    for entry in log:
        if isinstance(entry, Subscribed) and entry.task is not None:
            found.clear()
        if isinstance(entry, Delivery):
            found.pop((entry.event, entry.subscriber), None)
            found[entry.event, entry.subscriber] = entry
    return found


def _open(work: EventWork, stop: EarlyStop | None) -> list[Gap]:
    """Return gaps for what is not delivered; the next run on the thread delivers it."""
    why = "" if stop is None else f", since the run was stopped: {stop.reason}"
    reason, guard = f"not delivered{why}", stop.stopped_by if stop else None
    unread = work.unread() if stop is not None else 0
    gaps = [Gap(subtask="published", reason=f"{unread} published events were {reason}", guard=guard)] if unread else []
    for number, (position, name) in enumerate(work.index.waiting()):
        if number == _NAMED:
            rest = work.index.pending - _NAMED
            return [*gaps, Gap(subtask="deliveries", reason=f"{rest} more were {reason}", guard=guard)]
        gaps.append(Gap(subtask=work.subtask_id(position, name), agent=name, reason=reason, guard=guard))
    return gaps


def _value(work: EventWork, handled: list[Delivery]) -> Result:
    """Return the answers to all events as the value of the run, as the accepted results would be."""
    answers: list[Any] = []
    for one in handled:
        position, agent = work.index.position_of(one.event) or 0, (one.result or "").partition("/")[0]
        answers.append({"subtask": work.subtask_id(position, one.subscriber), "agent": agent, "value": one.value})
    return Result(
        id="events/results",
        agent=work.gate.team.name,
        subtask="result",
        value=answers,
        evidence=tuple(dict.fromkeys(chain.from_iterable(one.evidence for one in handled))),
        confidence=min((one.confidence for one in handled if one.confidence is not None), default=None),
        dissent=tuple(chain.from_iterable(one.dissent for one in handled)),
    )
