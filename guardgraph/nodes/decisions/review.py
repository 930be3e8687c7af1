"""Accept new results, or refuse them with a reason and let their agents try again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import Any, NamedTuple

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import gap_of
from guardgraph.guards import (
    Escalate,
    Finish,
    Guard,
    GuardDecision,
    OnTrip,
    Refuse,
    Retry,
    applying,
    leaves,
    name_of,
)
from guardgraph.nodes.decisions.compensation import compensating_agent, compensation_request
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.judging import allowed_sends
from guardgraph.nodes.scope import work_until
from guardgraph.runtime.budget.call_guards import CALL_GATES
from guardgraph.state import EarlyStop, EffectUnknown, Gap, Gate, Request, Result, Verdict

__all__ = (
    "RetryRequest",
    "ReviewDecision",
    "act_on_review",
    "agents_by_name",
    "can_retry",
    "gaps_within",
    "retry",
    "retry_request",
    "retry_targets",
    "review",
    "review_results",
    "unreviewed_results",
)


class RetryRequest(NamedTuple):
    """One more attempt."""

    agent: Agent
    """The agent that tries now."""
    request: Request
    """The earlier request, with the reason for the refusal as feedback."""
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
    undecided: set[str] = field(default_factory=set[str])
    """The ids of the results that are refused only for want of an opinion."""
    handoffs: list[tuple[tuple[str, ...], Gap]] = field(default_factory=list[tuple[tuple[str, ...], Gap]])
    """See `GateContext.handoffs`."""


def review_results(gate: GateContext, agents: Sequence[Agent]) -> Destination | None:
    """Review the new results of `agents` (and of their fallbacks) by the guards of `handoff`.

    A refused result is tried again with the reason, as often as its agent and the guard allow, then by its fallback;
    then it is a gap. Once nothing is left to try, the route of the gate decides where the run goes.
    """
    known = agents_by_name(agents)
    results = [result for result in unreviewed_results(gate.state) if result.agent in known]
    return act_on_review(gate, review(gate, results, at="handoff", agents=known), results, known)


def act_on_review(
    gate: GateContext, decision: ReviewDecision, results: Sequence[Result], agents: Mapping[str, Agent]
) -> Destination | None:
    """Write what a review has decided about `results`, and return where more attempts or the end of the run lead."""
    gate.reviewed = tuple(results)
    gate.write_unchecked(
        accepted=[result.id for result in decision.accepted],
        refused=[result.id for result in decision.refused],
        gaps=decision.gaps,
        verdicts=decision.verdicts,
        requests=dict.fromkeys(result.id for result in results),
    )
    if decision.ending is not None:
        return gate.end(decision.ending)
    again = retry(gate, decision.retries)
    if again is None:
        gate.handoffs = decision.handoffs
        gate.pending_stop = _exhausted(gate, results, agents)
    return again


def agents_by_name(agents: Iterable[Agent]) -> dict[str, Agent]:
    """Return agents and their fallbacks by name."""
    return {member.name: member for agent in agents for member in agent.fallback_chain}


def review(gate: GateContext, results: Sequence[Result], *, at: Gate, agents: Mapping[str, Agent]) -> ReviewDecision:
    """Judge `results` in their order; `agents` are those that may try again by name, fallbacks included.

    Where a guard ends the run no agent tries again: every refused result is a gap.
    """
    decision = ReviewDecision()
    for result in results:
        _review_one(decision, gate, result, at, agents)
    if decision.ending is not None:
        decision.gaps.extend(chain(*(again.gaps for again in decision.retries)))
        decision.retries.clear()
    return decision


def retry(gate: GateContext, retries: Sequence[RetryRequest]) -> Destination | None:
    """Return where more attempts lead: to their agents, or to the end where the run has to stop.

    `None` where there are none, or where the guards of `dispatch` stop them all; then what they would have delivered
    is a gap.
    """
    if not retries:
        return None
    gate.needs_no_budget = all(again.agent.kind == "function" for again in retries)
    gaps, stop = [again.gaps for again in retries], gate.stop_reason()
    if stop is not None:
        gate.write_unchecked(gaps=[*chain(*gaps)])
        return gate.stop_for(stop)
    sends = allowed_sends(gate, [gate.send_request(again.agent, again.request) for again in retries], gaps=gaps)
    ending: EarlyStop | None = gate.state.get("ending")
    if not sends and ending is not None and ending.status == "escalated":
        return gate.end(ending)
    gate.needs_no_budget = gate.needs_no_budget and bool(sends)
    return sends or None


def retry_request(
    gate: GateContext,
    result: Result,
    agents: Mapping[str, Agent],
    *,
    reason: str,
    on_trip: OnTrip | None,
    gaps: tuple[Gap, ...] = (),
    trusted: bool = True,
) -> RetryRequest | None:
    """Return the attempt that follows a refused `result`, if its agent, its fallback and the time allow one.

    `on_trip` is that of the guard that refused it; `None` where no guard did. A result that no `agent_node` has written
    is not tried again: its request is unknown. `trusted` is the label of the reason.
    """
    request = gate.request_of(result)
    agent = None if request is None else _next_agent(gate, agents, result, request, on_trip)
    delay = 0.0
    if request is not None and agent is not None and agent.name == result.agent:
        wait = _wait_before(gate, agent, result, request)
        agent, delay = (agent.fallback, 0.0) if wait is None else (agent, wait)
    if request is None or agent is None:
        return None
    tries = request.tries + 1 if agent.name == result.agent else 1
    trusted = trusted and request.trusted and result.trusted  # the reason may quote the answer
    changes = {
        "attempt": result.attempt + 1,
        "tries": tries,
        "feedback": reason,
        "delay": delay,
        "trusted": trusted,
    }
    return RetryRequest(agent, request.model_copy(update=changes), gaps)


def can_retry(guards: Sequence[Guard], *, at: Gate) -> bool:
    """Return whether one of the guards gives what it refuses at a gate back to its agent."""
    return any(at in g.gates and isinstance(g.on_trip, Retry) and g.on_trip.times > 0 for g in guards)


def retry_targets(agents: Iterable[Agent], guards: Sequence[Guard], *, at: Gate) -> tuple[str, ...]:
    """Return the names of the agents that a review can send to: those that may try again, and fallbacks."""
    agents, any_agent = [*agents], can_retry(guards, at=at)
    own = [guard for agent in agents for member in agent.fallback_chain for guard in member.guards]
    compensating = {getattr(guard, "compensate", None) for guard in leaves((*guards, *own)) if at in guard.gates}
    return tuple(
        member.name
        for agent in agents
        for member in agent.fallback_chain
        if any_agent
        or member.name in compensating
        or member.attempts > 1
        or member is not agent
        or can_retry(member.guards, at=at)
    )


def gaps_within(result: Result) -> list[Gap]:
    """Return the gaps of an accepted result; a partial one has at least one."""
    if result.status == "ok":
        return []
    return list(result.gaps) or [gap_of(result)]


def unreviewed_results(state: Mapping[str, Any]) -> list[Result]:
    """Return the results that no gate has reviewed yet."""
    reviewed = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    return [result for result in state.get("results") or () if result.id not in reviewed]


def _review_one(
    found: ReviewDecision, gate: GateContext, result: Result, at: Gate, agents: Mapping[str, Agent]
) -> None:
    agent = gate.team.agents.get(result.agent)
    guards = gate.guards_for(agent)
    fit = guards if result.has_value else [guard for guard in guards if getattr(guard, "judges_failures", False)]
    decision = gate.judge(at, result, fit, agent=agent)
    found.verdicts.extend(decision.verdicts)
    trip, on_trip = decision.trip, decision.on_trip
    applies = applying(guards, agents=gate.team.names_of(agent) if agent else (), categories=gate.categories)
    stop = _reaction_to_stop(result, applies)
    if isinstance(stop, Escalate) or (isinstance(stop, Refuse) and at == "exit"):
        status = "escalated" if isinstance(stop, Escalate) else "refused"
        why = result.error.message if result.error else ""
        found.ending = EarlyStop(status=status, stopped_by=result.stopped_by, reason=why)
    if trip is None and result.has_value and not isinstance(stop, Refuse):
        found.accepted.append(result)
        found.gaps.extend(gaps_within(result))
        return
    found.refused.append(result)
    if decision.undecided:
        found.undecided.add(result.id)
    last, why = _gap(gate, result, trip), trip.reason if trip else gap_of(result).reason
    gaps = (*result.gaps, last)
    on_trip = on_trip if trip is not None else stop
    again = retry_request(gate, result, agents, reason=why, on_trip=on_trip, gaps=gaps, trusted=decision.trusted)
    if again is None or again.agent.name != result.agent:  # the agent itself tries no more
        again = _compensation(gate, result, agents, decision, gaps) or again
    if again is not None:
        found.retries.append(again)
        return
    found.gaps.extend(gaps)
    if result.handoff and result.subtask is None:  # an agent that takes over does not do a subtask
        found.handoffs.append((result.handoff, last))
    ends = isinstance(on_trip, Escalate) or (isinstance(on_trip, Refuse) and at == "exit")
    if trip is not None and ends:
        found.ending = decision.ending(otherwise="failed")


def _reaction_to_stop(result: Result, guards: Sequence[Guard]) -> OnTrip | None:
    """Return the reaction of the guard that has stopped the attempt at a call; `None` where none of these has."""
    if result.error is None or result.error.kind != "stopped":
        return None
    named = (guard for guard in guards if not CALL_GATES.isdisjoint(guard.gates))
    found = [guard.on_trip for guard in named if name_of(guard) == result.stopped_by]
    hardest = next((one for kind in (Escalate, Refuse) for one in found if isinstance(one, kind)), None)
    return hardest or (Finish() if found else None)  # after `Retry` the model has had its tries


def _gap(gate: GateContext, result: Result, trip: Verdict | None) -> Gap:
    """Return what is missing without a refused result; after a compensation, also whose answer that was for."""
    gap, request = gap_of(result, guard=trip and trip.guard, reason=trip and trip.reason), gate.request_of(result)
    if request is None or request.compensates is None:
        return gap
    return gap.model_copy(update={"reason": f"{gap.reason} (in place of the answer of {request.compensates!r})"})


def _compensation(
    gate: GateContext, result: Result, agents: Mapping[str, Agent], decision: GuardDecision, gaps: tuple[Gap, ...]
) -> RetryRequest | None:
    """Return the attempt of the agent that the guard names for putting right what it has refused, if there is one."""
    request = gate.request_of(result)
    if request is None or decision.trip is None:
        return None
    agent = compensating_agent(gate, agents, result, request, decision.compensate)
    if agent is None:
        return None
    sent = compensation_request(gate, result, request, agent, decision)
    return RetryRequest(agent, sent, gaps)


def _next_agent(
    gate: GateContext, agents: Mapping[str, Agent], result: Result, request: Request, on_trip: OnTrip | None
) -> Agent | None:
    """Return the agent that tries next: the same one, its fallback, or none."""
    agent = agents.get(result.agent)
    hopeless = result.error is not None and result.error.kind in ("skipped", "stopped")
    until = gate.allowance.deadline
    if result.error is not None and result.error.type == EffectUnknown.__name__:  # another attempt could repeat it
        return None
    if agent is None or (until is not None and gate.now >= until):
        return None
    is_call_stop = result.error is not None and result.error.kind == "stopped" and result.stopped_by != "Budget"
    if is_call_stop and on_trip is not None:  # a guard of the gates `model` and `tool` has stopped it, not the budget
        return agent.fallback if isinstance(on_trip, Finish) else None
    if hopeless:  # nothing is left to pay for a model, but a function may need nothing
        return next((other for other in agent.fallback_chain[1:] if other.kind == "function"), None)
    allowed = agent.attempts
    if isinstance(on_trip, Retry):
        allowed = max(allowed, 1 + on_trip.times)
    elif on_trip is not None:  # refused for good
        return None
    return agent if request.tries < allowed else agent.fallback


def _wait_before(gate: GateContext, agent: Agent, result: Result, request: Request) -> float | None:
    """Return how long the next attempt of an agent waits; `None` where that is too long, so that there is none.

    Only a failure is followed by a wait: not an answer that a guard or a check has refused.
    """
    error = result.error
    if agent.backoff is None or error is None or error.kind not in ("raised", "timeout"):
        return 0.0
    wait = agent.backoff.seconds(request.tries, key=result.id, retry_after=error.retry_after)
    until = work_until(gate.position)
    is_late = wait is not None and until is not None and gate.now + timedelta(seconds=wait) >= until
    return None if is_late else wait


def _exhausted(gate: GateContext, results: Sequence[Result], agents: Mapping[str, Agent]) -> EarlyStop | None:
    """Return what ends a run whose whole budget, and not a share of it, has stopped each of `results`."""

    def has_no_share(result: Result) -> bool:
        agent, request = agents[result.agent], gate.request_of(result)
        subtask = request.subtask if request is not None else None
        return agent.kind != "team" and agent.budget_share is None and (subtask is None or subtask.share is None)

    if not results or not all(one.stopped_by == "Budget" and one.error and has_no_share(one) for one in results):
        return None
    last = results[-1].error
    return EarlyStop(status="degraded", stopped_by="Budget", reason=last.message if last else "the allowance is spent")
