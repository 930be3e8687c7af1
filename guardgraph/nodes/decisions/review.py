"""Accept new results, or refuse them with a reason, and have their agents try again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import gap_of
from guardgraph.guards import Escalate, Guard, OnTrip, Refuse, Retry
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.judging import judge_send
from guardgraph.state import EarlyStop, Gap, Gate, Request, Result, Verdict

__all__ = (
    "RetryRequest",
    "ReviewDecision",
    "can_retry",
    "gaps_within",
    "retry",
    "retry_request",
    "retry_targets",
    "review",
    "review_results",
)


class RetryRequest(NamedTuple):
    """One more attempt."""

    agent: Agent
    """Who tries now."""
    request: Request
    """What was asked before, and why the answer was refused."""
    gaps: tuple[Gap, ...] = ()
    """What is missing if the run ends before."""


@dataclass(slots=True)
class ReviewDecision:
    """What a gate decides about new results."""

    accepted: list[Result] = field(default_factory=list[Result])
    refused: list[Result] = field(default_factory=list[Result])
    retries: list[RetryRequest] = field(default_factory=list[RetryRequest])
    gaps: list[Gap] = field(default_factory=list[Gap])
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    ending: EarlyStop | None = None
    lost: dict[str, Gap] = field(default_factory=dict[str, Gap])
    """What is missing of each result that was refused for good, by its id."""


def review_results(gate: GateContext, agents: Sequence[Agent]) -> Destination | None:
    """Review the new results of `agents` (and of their fallbacks) by the guards of `handoff`.

    A refused result is tried again with the reason, as often as its agent and the guard allow, then by its fallback;
    then it is a gap. Once nothing is left to try, it is left to the route of the gate where to go.
    """
    known = {member.name: member for agent in agents for member in agent.fallback_chain}
    results = [result for result in _new_results(gate.state) if result.agent in known]
    gate.reviewed = tuple(results)
    found = review(gate, results, at="handoff", agents=known)
    gate.note(
        accepted=[result.id for result in found.accepted],
        refused=[result.id for result in found.refused],
        gaps=found.gaps,
        verdicts=found.verdicts,
        requests=dict.fromkeys(result.id for result in results),
    )
    if found.ending is not None:
        return gate.end(found.ending)
    again = retry(gate, found.retries)
    if again is not None:
        return again
    tasks = (result for result in found.refused if result.subtask is None)  # a subtask is not done by who follows
    gate.handoffs = [(result.handoff, found.lost[result.id]) for result in tasks if result.handoff]
    gate.exhausted = _exhausted(gate, results, known)
    return None


def review(gate: GateContext, results: Sequence[Result], *, at: Gate, agents: Mapping[str, Agent]) -> ReviewDecision:
    """Judge `results` in their order; `agents` are those who may try again by name, fallbacks included.

    Where a guard ends the run nobody tries again: all that was refused is a gap.
    """
    found = ReviewDecision()
    for result in results:
        _review_one(found, gate, result, at, agents)
    if found.ending is not None:
        found.gaps.extend(gap for again in found.retries for gap in again.gaps)
        found.retries.clear()
    return found


def retry(gate: GateContext, retries: Sequence[RetryRequest]) -> Destination | None:
    """Return where more attempts lead: to their agents, or to the end where the run has to stop.

    `None` where there are none, or where the guards of `dispatch` stop them all; what is lost with that is a gap.
    """
    if not retries:
        return None
    gate.is_free = all(again.agent.kind == "function" for again in retries)
    stop = gate.must_stop()
    if stop is not None:
        gate.note(gaps=[gap for again in retries for gap in again.gaps])
        return gate.stop_early(stop)
    sends = [(again, gate.send_request(again.agent, again.request)) for again in retries]
    passed = list[Any]()
    for again, send in sends:
        judgement = judge_send(gate, send)
        if judgement is None or judgement.trip is None:
            passed.append(send)
            continue
        gate.note(gaps=list(again.gaps))
        if isinstance(judgement.on_trip, Escalate):
            gate.note(gaps=[gap for other, _ in sends for gap in other.gaps])
            return gate.end(
                EarlyStop(status="escalated", stopped_by=judgement.trip.guard, reason=judgement.trip.reason)
            )
    gate.is_free = gate.is_free and bool(passed)
    return passed or None


def retry_request(
    gate: GateContext,
    result: Result,
    agents: Mapping[str, Agent],
    *,
    reason: str,
    on_trip: OnTrip | None,
    gaps: tuple[Gap, ...] = (),
) -> RetryRequest | None:
    """Return the attempt that follows a refused `result`, if its agent, its fallback and the time allow one.

    `on_trip` is what the guard that refused it wants done; `None` where no guard did. What an `agent_node` has not
    written is not tried again: nobody knows what was asked.
    """
    asked = gate.asked(result)
    agent = None if asked is None else _next(gate, agents, result, asked, on_trip)
    if asked is None or agent is None:
        return None
    tries = asked.tries + 1 if agent.name == result.agent else 1
    request = asked.model_copy(update={"attempt": result.attempt + 1, "tries": tries, "feedback": reason})
    return RetryRequest(agent, request, gaps)


def can_retry(guards: Sequence[Guard], *, at: Gate) -> bool:
    """Return whether one of the guards gives what it refuses at a gate back to its agent."""
    return any(at in g.gates and isinstance(g.on_trip, Retry) and g.on_trip.times > 0 for g in guards)


def retry_targets(agents: Iterable[Agent], guards: Sequence[Guard], *, at: Gate) -> tuple[str, ...]:
    """Return the names of those whom a review can send to: agents that may try again, and fallbacks."""
    asked = can_retry(guards, at=at)
    return tuple(
        member.name
        for agent in agents
        for member in agent.fallback_chain
        if asked or member.attempts > 1 or member is not agent
    )


def gaps_within(result: Result) -> list[Gap]:
    """Return what an accepted result leaves open: a partial one is never taken for a whole one."""
    if result.status == "ok":
        return []
    return list(result.gaps) or [gap_of(result)]


def _review_one(
    found: ReviewDecision, gate: GateContext, result: Result, at: Gate, agents: Mapping[str, Agent]
) -> None:
    guards = gate.team.guards
    fit = guards if result.has_value else [guard for guard in guards if getattr(guard, "judges_failures", False)]
    judgement = gate.judge(at, result, fit, agent=gate.team.agents.get(result.agent))
    found.verdicts.extend(judgement.alerts)
    if judgement.trip is None and result.has_value:
        found.accepted.append(result)
        found.gaps.extend(gaps_within(result))
        return
    found.refused.append(result)
    if judgement.trip is not None:
        found.verdicts.append(judgement.trip)
    reason = judgement.trip.reason if judgement.trip else result.error.message if result.error else "no answer"
    guard = judgement.trip.guard if judgement.trip else result.stopped_by
    gaps = (*result.gaps, gap_of(result, guard=guard, reason=reason))
    again = retry_request(gate, result, agents, reason=reason, on_trip=judgement.on_trip, gaps=gaps)
    if again is not None:
        found.retries.append(again)
        return
    found.gaps.extend(gaps)
    found.lost[result.id] = gaps[-1]
    if isinstance(judgement.on_trip, Escalate):
        found.ending = EarlyStop(status="escalated", stopped_by=guard, reason=reason)
    elif isinstance(judgement.on_trip, Refuse) and at == "exit":
        found.ending = EarlyStop(status="refused", stopped_by=guard, reason=reason)


def _next(
    gate: GateContext, agents: Mapping[str, Agent], result: Result, asked: Request, on_trip: OnTrip | None
) -> Agent | None:
    """Return who tries again: the same agent, its fallback, or nobody."""
    agent = agents.get(result.agent)
    hopeless = result.error is not None and result.error.kind in ("skipped", "stopped")
    until = gate.allowance.deadline
    if agent is None or (until is not None and gate.now >= until):
        return None
    if hopeless:  # nothing is left to pay for a model, but code may do without
        return next((other for other in agent.fallback_chain[1:] if other.kind == "function"), None)
    allowed = agent.attempts
    if isinstance(on_trip, Retry):
        allowed = max(allowed, 1 + on_trip.times)
    elif on_trip is not None:  # refused for good
        return None
    return agent if asked.tries < allowed else agent.fallback


def _new_results(state: Mapping[str, Any]) -> list[Result]:
    """Return the results that no gate has reviewed yet."""
    seen = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    return [result for result in state.get("results") or () if result.id not in seen]


def _exhausted(gate: GateContext, results: Sequence[Result], agents: Mapping[str, Agent]) -> EarlyStop | None:
    """Return what ends a run whose allowance has stopped all that came back, where none of that had a smaller share."""

    def is_short(result: Result) -> bool:
        agent, asked = agents.get(result.agent), gate.asked(result)
        share = asked.subtask.share if asked is not None and asked.subtask is not None else None
        alone = agent is not None and agent.kind != "team" and agent.budget_share is None and share is None
        return alone and result.stopped_by == "Budget" and result.error is not None

    if not results or not all(is_short(result) for result in results):
        return None
    last = results[-1].error
    return EarlyStop(status="degraded", stopped_by="Budget", reason=last.message if last else "the allowance is spent")
