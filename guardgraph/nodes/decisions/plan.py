"""Read the planner's plan: it is worked on, planned again, or ends the rounds."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import gap_of
from guardgraph.nodes.decisions.review import gaps_within, retry, retry_request
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.team_spec import OWN_GAPS
from guardgraph.state import Gap, Plan, Result, Verdict, validation_text

__all__ = ("read_plan",)


def read_plan(gate: GateContext, planner: Agent) -> Plan | Destination:
    """Return the plan to work on, or where the run goes without one: to the planner again, or to its end.

    The plan is the last result of the planner, judged by the guards of `round`. Its subtasks get ids that nothing else
    in the run has. An empty plan ends the rounds.
    """
    results: list[Result] = list(gate.state.get("plans") or ())
    if not results:
        gate.note(gaps=[Gap(subtask="plan", agent=planner.name, reason="there is no plan")])
        return gate.conclude()
    last = results[-1]
    agents = {agent.name: agent for agent in planner.fallback_chain}
    gate.note(requests={last.id: None})
    plan = _plan_of(last)
    if not isinstance(plan, Plan):
        return _without_plan(gate, planner, agents, last, plan)
    if not plan.subtasks:
        gate.note(plan=plan, gaps=gaps_within(last))
        return gate.conclude()
    plan = plan.following(list(gate.state.get("subtasks") or ())).with_fresh_ids(_used_ids(gate, planner), last.round)
    decision = gate.judge("round", plan, agent=agents.get(last.agent))
    gate.note(verdicts=[*decision.verdicts])
    if decision.trip is None:
        gate.note(plan=plan, subtasks=list(plan.subtasks), gaps=gaps_within(last))
        return plan
    gaps, reason = _undone(plan, planner, decision.trip), decision.trip.reason
    again = retry_request(gate, last, agents, reason=reason, on_trip=decision.on_trip, gaps=gaps)
    if again is not None:
        return retry(gate, [again]) or gate.conclude()
    gate.note(plan=plan, subtasks=list(plan.subtasks))
    ending = decision.ending(otherwise="degraded")
    return gate.conclude() if ending is None else gate.end(ending)


def _without_plan(
    gate: GateContext, planner: Agent, agents: Mapping[str, Agent], last: Result, problem: str | None
) -> Destination:
    """Return where the planner tries again; where it may not, write the gap, and return where the run ends."""
    failed = last.model_copy(update={"status": "failed"}) if last.has_value else last
    gap = gap_of(failed, reason=problem or (None if last.error else "no plan"))
    gaps = (*failed.gaps, gap)
    again = retry_request(gate, failed, agents, reason=gap.reason, on_trip=None, gaps=gaps)
    if again is not None:
        return retry(gate, [again]) or gate.conclude()
    gate.note(gaps=[gap.model_copy(update={"subtask": "plan", "round": 1}), *_rejected(gate, last, planner)])
    return gate.conclude()


def _undone(plan: Plan, planner: Agent, trip: Verdict) -> tuple[Gap, ...]:
    """Return a gap for each subtask of a plan that a guard has stopped."""
    return tuple(Gap(subtask=one.id, agent=planner.name, reason=trip.reason, guard=trip.guard) for one in plan.subtasks)


def _used_ids(gate: GateContext, planner: Agent) -> frozenset[str]:
    """Return the ids that a new subtask may not have."""
    heads = (planner, gate.team.author) if gate.team.author else (planner,)
    state, names = gate.state, {member.name for head in heads for member in head.fallback_chain}
    planned = (subtask.id for subtask in state.get("subtasks") or ())
    tried = (result.subtask for result in state.get("results") or () if result.subtask is not None)
    missing = (gap.subtask for gap in state.get("gaps") or ())
    return OWN_GAPS | names | frozenset([*planned, *tried, *missing])


def _rejected(gate: GateContext, last: Result, planner: Agent) -> tuple[Gap, ...]:
    """Return the gaps of the plan that a guard has rejected in this round, where no other one has replaced it."""
    before = [one for one in gate.state.get("plans") or () if one.round == last.round and one.id != last.id]
    trips = [one for one in gate.state.get("verdicts") or () if one.gate == "round" and one.action == "trip"]
    plan = _plan_of(before[-1]) if before and trips else None
    if not isinstance(plan, Plan):
        return ()
    return _undone(plan.with_fresh_ids(_used_ids(gate, planner), last.round), planner, trips[-1])


def _plan_of(result: Result) -> Plan | str | None:
    """Return the plan that a result holds, or why its value is none; `None` where it has no value."""
    if not result.has_value:
        return None
    try:
        return Plan.of(result.value)
    except ValidationError as error:
        return f"this is no plan: {validation_text(error, whole='plan')}"
