"""The planner's plan is read, and another round is allowed or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send
from pydantic import ValidationError

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send, worker_pieces
from guardgraph.nodes.review import Again, review
from guardgraph.nodes.scene import Scene, applied, scene_of
from guardgraph.state import Gap, Plan, Result

__all__ = ("PlanRead", "read_plan", "round_gate")


class PlanRead(NamedTuple):
    """What became of the planner's last attempt."""

    plan: Plan | None
    """The plan to work on; `None` where the planner tries again, and where the rounds end."""
    again: Send | None
    """One more attempt at planning."""
    update: dict[str, Any]
    """What the state has to know."""


def read_plan(scene: Scene, guards: Sequence[Guard], planner: Agent, workers: Sequence[Agent]) -> PlanRead:
    """Read the last result of the planner: a plan that the guards of `round` let pass, one more attempt, or the end."""
    results: list[Result] = list(scene.state.get("plans") or ())
    if not results:
        return PlanRead(None, None, {"gaps": [Gap(subtask="plan", agent=planner.name, reason="there is no plan")]})
    last = results[-1]
    agents = {agent.name: agent for agent in planner.line}
    extra = worker_pieces(workers)

    def sent_back(agent: Agent, reason: str) -> Send:
        return send(agent, scene.state, attempt=last.attempt + 1, feedback=reason, extra=extra)

    problem, plan = _parsed(last)
    if plan is None:
        return _without_plan(scene, agents, last, problem, sent_back)
    if not plan.subtasks:
        return PlanRead(None, None, {"plan": plan})
    used = {r.subtask for r in scene.state.get("results") or ()} | {g.subtask for g in scene.state.get("gaps") or ()}
    plan = plan.apart_from(used, last.round)
    judgement = scene.judge(guards, "round", plan)
    if judgement.trip is None:
        known = {"plan": plan, "subtasks": list(plan.subtasks), "verdicts": [*judgement.alerts]}
        return PlanRead(plan, None, known)
    update: dict[str, Any] = {"verdicts": [*judgement.alerts, judgement.trip]}
    again = Again.after(last, scene, agents, reason=judgement.trip.reason, on_trip=judgement.on_trip)
    if again is not None:
        return PlanRead(None, sent_back(again.agent, again.reason), update)
    return PlanRead(None, None, {**update, "ending": judgement.ending(otherwise="degraded")})


def round_gate(
    guards: Sequence[Guard], *, planner: Agent, workers: Sequence[Agent], go: str, finish: Callable[..., Any]
) -> Callable[..., Any]:
    """Return the node `guard_round`: the plan goes on to `go`, or the rounds end and `finish` says where to go."""

    def guard_round(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        read = read_plan(scene_of(state, config), guards, planner, workers)
        if read.again is not None:
            return Command(update=read.update, goto=[read.again])
        if read.plan is None:
            return Command(update=read.update, goto=finish(applied(state, read.update)))
        return Command(update=read.update, goto=go)

    return guard_round


def _without_plan(
    scene: Scene,
    agents: Mapping[str, Agent],
    last: Result,
    problem: str | None,
    sent_back: Callable[[Agent, str], Send],
) -> PlanRead:
    """Return one more attempt, or the gap that is left without a plan."""
    if last.has_value:  # it answered, but with something that is no plan
        last = last.model_copy(update={"status": "failed"})
    for again in review(scene, (), agents, [last], gate="handoff").again:
        return PlanRead(None, sent_back(again.agent, problem or again.reason), {})
    reason = problem or (last.error.message if last.error else "no plan")
    gap = Gap(subtask="plan", agent=last.agent, reason=reason, guard=last.stopped_by)
    return PlanRead(None, None, {"gaps": [gap]})


def _parsed(result: Result) -> tuple[str | None, Plan | None]:
    if not result.has_value:
        return None, None
    try:
        return None, Plan.of(result.value)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'plan'}: {e['msg']}" for e in error.errors()[:5])
        return f"this is no plan: {told}", None
