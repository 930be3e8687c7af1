"""Read the planner's plan: it is worked on, planned again, or ends the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import gap_of
from guardgraph.nodes.context import can_do, skills_of
from guardgraph.nodes.decisions.review import gaps_within, retry, retry_request
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.team_spec import OWN_GAPS
from guardgraph.state import Gap, Plan, Result, nearest_text, validation_text

__all__ = ("read_plan",)


def read_plan(gate: GateContext, planner: Agent, workers: Sequence[Agent] = ()) -> Plan | Destination:
    """Return the plan to work on, or where the run goes without one: to the planner again, or to its end.

    The plan is the last result of the planner, judged by the guards of `round`. Its subtasks get ids that nothing else
    in the run has. An empty plan ends the rounds. A plan that needs skills which none of `workers` has goes back to the
    planner, if it may try again; else those subtasks become gaps when they are due.
    """
    results: list[Result] = list(gate.state.get("plans") or ())
    if not results:
        gate.write_unchecked(gaps=[Gap(subtask="plan", agent=planner.name, reason="there is no plan")])
        return gate.conclude()
    last = results[-1]
    agents = {agent.name: agent for agent in planner.fallback_chain}
    gate.write_unchecked(requests={last.id: None})
    plan = _plan_of(last)
    if not isinstance(plan, Plan):
        return _without_plan(gate, planner, agents, last, plan)
    if not plan.subtasks:
        gate.write_unchecked(plan=plan, gaps=gaps_within(last))
        return gate.conclude()
    plan = plan.following(list(gate.state.get("subtasks") or ())).with_fresh_ids(_used_ids(gate, planner), last.round)
    problem = _unknown_skills(plan, workers)
    if problem is not None:
        gaps = _undone(plan, planner, problem)
        again = retry_request(gate, last, agents, reason=problem, on_trip=None, gaps=gaps)
        if again is not None:
            return retry(gate, [again]) or gate.conclude()
    if last.trusted:
        gate.write_unchecked(trusted_subtasks=[one.id for one in plan.subtasks])
    decision = gate.judge("round", plan, agent=agents.get(last.agent))
    gate.write_unchecked(verdicts=[*decision.verdicts])
    if decision.trip is None:
        gate.write_unchecked(plan=plan, subtasks=list(plan.subtasks), gaps=gaps_within(last))
        return plan
    reason, guard = decision.trip.reason, decision.trip.guard
    gaps = _undone(plan, planner, reason, guard)
    again = retry_request(gate, last, agents, reason=reason, on_trip=decision.on_trip, gaps=gaps)
    if again is not None:
        return retry(gate, [again]) or gate.conclude()
    gate.write_unchecked(plan=plan, subtasks=list(plan.subtasks))
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
    gate.write_unchecked(gaps=[gap.model_copy(update={"subtask": "plan", "round": 1}), *_rejected(gate, last, planner)])
    return gate.conclude()


def _unknown_skills(plan: Plan, workers: Sequence[Agent]) -> str | None:
    """Return which subtasks need a skill that no worker has."""
    unknown = [one for one in plan.subtasks if workers and not any(can_do(agent, one.skill) for agent in workers)]
    if not unknown:
        return None
    wanted, known = ", ".join(f"{one.id!r} needs {one.skill!r}" for one in unknown), skills_of(workers)
    nearest = nearest_text(unknown[0].skill or "", known) if len(unknown) == 1 else ""
    return f"no worker has the skill: {wanted}; there are: {', '.join(known)}{nearest}"


def _undone(plan: Plan, planner: Agent, reason: str, guard: str | None = None) -> tuple[Gap, ...]:
    """Return a gap for each subtask of a plan that was refused."""
    return tuple(Gap(subtask=one.id, agent=planner.name, reason=reason, guard=guard) for one in plan.subtasks)


def _used_ids(gate: GateContext, planner: Agent) -> frozenset[str]:
    """Return the ids that a new subtask may not have."""
    heads = (planner, gate.team.author) if gate.team.author else (planner,)
    state, names = gate.state, {member.name for head in heads for member in head.fallback_chain}
    planned = (subtask.id for subtask in state.get("subtasks") or ())
    tried = (result.subtask for result in state.get("results") or () if result.subtask is not None)
    missing = (gap.subtask for gap in state.get("gaps") or ())
    return OWN_GAPS | names | frozenset([*planned, *tried, *missing])


def _rejected(gate: GateContext, last: Result, planner: Agent) -> tuple[Gap, ...]:
    """Return the gaps of the plan that was refused in this round, where no other one has replaced it."""
    before = [one for one in gate.state.get("plans") or () if one.round == last.round and one.id != last.id]
    trips = [one for one in gate.state.get("verdicts") or () if one.gate == "round" and one.action == "trip"]
    plan = _plan_of(before[-1]) if before else None
    if not isinstance(plan, Plan):
        return ()
    why = (trips[-1].reason, trips[-1].guard) if trips else ("its plan was refused, and no other one followed", None)
    return _undone(plan.with_fresh_ids(_used_ids(gate, planner), last.round), planner, *why)


def _plan_of(result: Result) -> Plan | str | None:
    """Return the plan that a result holds, or why its value is none; `None` where it has no value."""
    if not result.has_value:
        return None
    try:
        return Plan.of(result.value)
    except ValidationError as error:
        return f"this is no plan: {validation_text(error, whole='plan')}"
