"""The planner's plan is read: it is worked on, planned again, or ends the rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import gap_of
from guardgraph.nodes.decisions.review import RetryRequest, gaps_within, retry, retry_request
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.team_spec import OWN_GAPS
from guardgraph.state import EarlyStop, Gap, Plan, Result, Subtask, Verdict, validation_text

__all__ = ("PlanDecision", "decide_plan", "read_plan")


class PlanDecision(NamedTuple):
    """What becomes of the planner's last attempt. All that the state has to know is written already."""

    plan: Plan | None = None
    """The plan to work on."""
    again: RetryRequest | None = None
    """One more attempt at planning."""
    ending: EarlyStop | None = None
    """What a guard of `round` ends the run with. Where nothing is set, the rounds have ended."""


def read_plan(gate: GateContext, planner: Agent) -> Plan | Destination:
    """Return the plan to work on, or where the run goes without one."""
    decision = decide_plan(gate, planner)
    if decision.plan is not None:
        return decision.plan
    again = decision.again
    if again is not None:
        reason = again.request.feedback or "no plan"
        lost = again.gaps or (Gap(subtask="plan", agent=again.agent.name, reason=reason),)
        return retry(gate, [again._replace(gaps=lost)]) or gate.conclude()
    return gate.conclude() if decision.ending is None else gate.end(decision.ending)


def decide_plan(gate: GateContext, planner: Agent) -> PlanDecision:
    """Read the last result of the planner: a plan that the guards of `round` let pass, one more attempt, or the end.

    Subtasks get ids that nothing else in the run has.
    """
    results: list[Result] = list(gate.state.get("plans") or ())
    if not results:
        gate.note(gaps=[Gap(subtask="plan", agent=planner.name, reason="there is no plan")])
        return PlanDecision()
    last = results[-1]
    agents = {agent.name: agent for agent in planner.fallback_chain}
    gate.note(requests={last.id: None})
    problem, plan = _parsed(last)
    if plan is None:
        return _without_plan(gate, planner, agents, last, problem)
    if not plan.subtasks:
        gate.note(plan=plan, gaps=gaps_within(last))
        return PlanDecision()
    earlier: list[Subtask] = list(gate.state.get("subtasks") or ())
    plan = plan.following(earlier).with_fresh_ids(_used(gate, planner), last.round)
    judgement = gate.judge("round", plan, agent=agents.get(last.agent))
    gate.note(verdicts=[*judgement.verdicts])
    if judgement.trip is None:
        gate.note(plan=plan, subtasks=list(plan.subtasks), gaps=gaps_within(last))
        return PlanDecision(plan)
    gaps = _not_carried_out(plan, planner, judgement.trip)
    reason = judgement.trip.reason
    again = retry_request(gate, last, agents, reason=reason, on_trip=judgement.on_trip, gaps=gaps)
    if again is not None:
        return PlanDecision(again=again)
    gate.note(plan=plan, subtasks=list(plan.subtasks))
    return PlanDecision(ending=judgement.ending(otherwise="degraded"))


def _without_plan(
    gate: GateContext, planner: Agent, agents: Mapping[str, Agent], last: Result, problem: str | None
) -> PlanDecision:
    """Return one more attempt, or note the gap that is left without a plan."""
    reason = problem or (last.error.message if last.error else "no plan")
    failed = last.model_copy(update={"status": "failed"}) if last.has_value else last
    gap = gap_of(failed, reason=reason)
    again = retry_request(gate, failed, agents, reason=reason, on_trip=None, gaps=(*failed.gaps, gap))
    if again is not None:
        return PlanDecision(again=again)
    gate.note(gaps=[gap.model_copy(update={"subtask": "plan", "round": 1}), *_sent_back(gate, last, planner)])
    return PlanDecision()


def _not_carried_out(plan: Plan, planner: Agent, trip: Verdict) -> tuple[Gap, ...]:
    return tuple(
        Gap(subtask=subtask.id, agent=planner.name, reason=trip.reason, guard=trip.guard) for subtask in plan.subtasks
    )


def _used(gate: GateContext, planner: Agent) -> frozenset[str]:
    """Return the ids that a new subtask may not have."""
    heads = (planner, gate.team.author) if gate.team.author else (planner,)
    state, names = gate.state, {member.name for head in heads for member in head.fallback_chain}
    planned = (subtask.id for subtask in state.get("subtasks") or ())
    tried = (result.subtask for result in state.get("results") or () if result.subtask is not None)
    missing = (gap.subtask for gap in state.get("gaps") or ())
    return OWN_GAPS | names | frozenset([*planned, *tried, *missing])


def _sent_back(gate: GateContext, last: Result, planner: Agent) -> tuple[Gap, ...]:
    """Return what the plan that a guard has sent back wanted to have done, where no other came in its place."""
    before = [one for one in gate.state.get("plans") or () if one.round == last.round and one.id != last.id]
    trips = [one for one in gate.state.get("verdicts") or () if one.gate == "round" and one.action == "trip"]
    _, plan = _parsed(before[-1]) if before and trips else (None, None)
    if plan is None:
        return ()
    return _not_carried_out(plan.with_fresh_ids(_used(gate, planner), last.round), planner, trips[-1])


def _parsed(result: Result) -> tuple[str | None, Plan | None]:
    if not result.has_value:
        return None, None
    try:
        return None, Plan.of(result.value)
    except ValidationError as error:
        return f"this is no plan: {validation_text(error, whole='plan')}", None
