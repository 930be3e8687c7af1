"""The planner's plan is read, and another round is allowed or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command
from pydantic import ValidationError

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.review import Again, gaps_within, review
from guardgraph.nodes.scene import Scene, scene_of
from guardgraph.nodes.ways import Then, Ways, to_the_end
from guardgraph.state import Gap, Plan, Result, Subtask, Verdict

__all__ = ("PlanRead", "read_plan", "round_gate", "take_read")

_OWN = frozenset({"plan", "result", "run"})
"""What gaps of the team itself are called."""


class PlanRead(NamedTuple):
    """What became of the planner's last attempt."""

    plan: Plan | None
    """The plan to work on; `None` where the planner tries again, and where the rounds end."""
    again: Again | None
    """One more attempt at planning."""
    update: dict[str, Any]
    """What the state has to know."""


def read_plan(scene: Scene, guards: Sequence[Guard], planner: Agent, *, names: frozenset[str]) -> PlanRead:
    """Read the last result of the planner: a plan that the guards of `round` let pass, one more attempt, or the end.

    Subtasks get ids that nothing else in the run has; `names` are those of the team's own agents.
    """
    results: list[Result] = list(scene.state.get("plans") or ())
    if not results:
        return PlanRead(None, None, {"gaps": [Gap(subtask="plan", agent=planner.name, reason="there is no plan")]})
    last = results[-1]
    agents = {agent.name: agent for agent in planner.line}
    reviewed = {"requests": {last.id: None}}
    problem, plan = _parsed(last)
    if plan is None:
        read = _without_plan(scene, planner, agents, last, problem)
        return read._replace(update={**read.update, **reviewed})
    if not plan.subtasks:
        return PlanRead(None, None, {"plan": plan, "gaps": gaps_within(last), **reviewed})
    earlier: list[Subtask] = list(scene.state.get("subtasks") or ())
    plan = plan.following(earlier).apart_from(_used(scene.state, names), last.round)
    judgement = scene.judge(guards, "round", plan)
    planned = {"plan": plan, "subtasks": list(plan.subtasks), **reviewed}
    if judgement.trip is None:
        return PlanRead(plan, None, {**planned, "gaps": gaps_within(last), "verdicts": [*judgement.alerts]})
    verdicts = {"verdicts": [*judgement.alerts, judgement.trip]}
    gaps = _not_carried_out(plan, planner, judgement.trip)
    again = Again.after(last, scene, agents, reason=judgement.trip.reason, on_trip=judgement.on_trip, gaps=gaps)
    if again is not None:
        return PlanRead(None, again, {**verdicts, **reviewed})
    return PlanRead(None, None, {**planned, **verdicts, "ending": judgement.ending(otherwise="degraded")})


def round_gate(
    guards: Sequence[Guard], *, planner: Agent, names: frozenset[str], go: str, ways: Ways
) -> Callable[..., Any]:
    """Return the node `guard_round`: the plan goes on to `go`, or the rounds end."""

    def guard_round(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        scene = scene_of(state, config)
        read = read_plan(scene, guards, planner, names=names)
        return take_read(scene, read, ways, lambda _: go)

    return guard_round


def take_read(scene: Scene, read: PlanRead, ways: Ways, go: Then) -> Command[Any]:
    """Return where a plan that was read leads: to `go`, back to the planner, or to the end."""
    again = read.again
    if again is not None:
        lost = again.gaps or (Gap(subtask="plan", agent=again.agent.name, reason=again.request.feedback or "no plan"),)
        return ways.take(scene, read.update, lambda after: [again.send(after.state)], lost=lost)
    if read.plan is None:
        ending = read.update.get("ending")
        if ending is not None:
            return ways.end(scene, read.update, ending)
        return ways.take(scene, read.update, lambda after: to_the_end(after.state, ways.author))
    return ways.take(scene, read.update, go)


def _not_carried_out(plan: Plan, planner: Agent, trip: Verdict) -> tuple[Gap, ...]:
    return tuple(
        Gap(subtask=subtask.id, agent=planner.name, reason=trip.reason, guard=trip.guard) for subtask in plan.subtasks
    )


def _used(state: Mapping[str, Any], names: frozenset[str]) -> frozenset[str]:
    """Return the ids that a new subtask may not have."""
    planned = (subtask.id for subtask in state.get("subtasks") or ())
    tried = (result.subtask for result in state.get("results") or () if result.subtask is not None)
    missing = (gap.subtask for gap in state.get("gaps") or ())
    return _OWN | names | frozenset([*planned, *tried, *missing])


def _without_plan(
    scene: Scene, planner: Agent, agents: Mapping[str, Agent], last: Result, problem: str | None
) -> PlanRead:
    """Return one more attempt, or the gap that is left without a plan."""
    if last.has_value:  # it answered, but with something that is no plan
        last = last.model_copy(update={"status": "failed"})
    for again in review(scene, (), agents, [last], gate="handoff").again:
        if problem:
            again = again._replace(request=again.request.model_copy(update={"feedback": problem}))
        return PlanRead(None, again, {})
    reason = problem or (last.error.message if last.error else "no plan")
    gap = Gap(subtask="plan", agent=last.agent, reason=reason, guard=last.stopped_by)
    return PlanRead(None, None, {"gaps": [gap, *_sent_back(scene, last, planner)]})


def _sent_back(scene: Scene, last: Result, planner: Agent) -> tuple[Gap, ...]:
    """Return what the plan that a guard has sent back wanted to have done, where no other came in its place."""
    before = [one for one in scene.state.get("plans") or () if one.round == last.round and one.id != last.id]
    trips = [one for one in scene.state.get("verdicts") or () if one.gate == "round" and one.action == "trip"]
    _, plan = _parsed(before[-1]) if before and trips else (None, None)
    if plan is None:
        return ()
    return _not_carried_out(plan.apart_from(_used(scene.state, frozenset()), last.round), planner, trips[-1])


def _parsed(result: Result) -> tuple[str | None, Plan | None]:
    if not result.has_value:
        return None, None
    try:
        return None, Plan.of(result.value)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'plan'}: {e['msg']}" for e in error.errors()[:5])
        return f"this is no plan: {told}", None
