"""The planner's plan is read, and another round is allowed or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send
from pydantic import ValidationError

from guardgraph.guards import Escalate, Guard, Refuse
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send, worker_pieces
from guardgraph.nodes.review import review
from guardgraph.nodes.scene import Scene, applied, scene_of
from guardgraph.state import Ending, Gap, Plan, Result, Subtask

__all__ = ("PlanRead", "read_plan", "round_gate")


class PlanRead(NamedTuple):
    """What became of the planner's last attempt."""

    plan: Plan | None
    """The plan; `None` when there is none."""
    again: Send | None
    """One more attempt at planning."""
    update: dict[str, Any]
    """What the state has to know."""


def read_plan(scene: Scene, planner: Agent, workers: Sequence[Agent]) -> PlanRead:
    """Read the last result of the planner: a plan, one more attempt, or a gap."""
    results: list[Result] = list(scene.state.get("plans") or ())
    if not results:
        return PlanRead(None, None, {"gaps": [Gap(subtask="plan", agent=planner.name, reason="there is no plan")]})
    last = results[-1]
    agents = {agent.name: agent for agent in planner.line}
    problem, plan = _parsed(last)
    if plan is not None:
        plan = _renamed(plan, scene.state, last.round)
        return PlanRead(plan, None, {"plan": plan})
    if last.has_value:  # it answered, but with something that is no plan
        last = last.model_copy(update={"status": "failed"})
    found = review(scene, (), agents, [last], gate="handoff")
    for again in found.again:
        attempt = again.result.attempt + 1
        feedback = problem or again.reason
        extra = worker_pieces(workers)
        return PlanRead(None, send(again.agent, scene.state, attempt=attempt, feedback=feedback, extra=extra), {})
    reason = problem or (last.error.message if last.error else "no plan")
    gap = Gap(subtask="plan", agent=last.agent, reason=reason, guard=last.stopped_by)
    return PlanRead(None, None, {"gaps": [gap]})


def round_gate(
    guards: Sequence[Guard], *, planner: Agent, workers: Sequence[Agent], go: str, finish: Callable[..., Any]
) -> Callable[..., Any]:
    """Return the node `guard_round`: the plan goes on to `go`, or the rounds end and `finish` says where to go."""

    def guard_round(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        scene = scene_of(state, config)
        read = read_plan(scene, planner, workers)
        if read.again is not None:
            return Command(update=read.update, goto=[read.again])
        if read.plan is None or not read.plan.subtasks:
            return Command(update=read.update, goto=finish(applied(state, read.update)))
        judgement = scene.judge(guards, "round", read.plan)
        update = {**read.update, "verdicts": [*judgement.alerts, *((judgement.trip,) if judgement.trip else ())]}
        if judgement.trip is None:
            return Command(update=update, goto=go)
        status: Any = "degraded"
        if isinstance(judgement.on_trip, Escalate | Refuse):
            status = "escalated" if isinstance(judgement.on_trip, Escalate) else "refused"
        update["ending"] = Ending(status=status, stopped_by=judgement.trip.guard, reason=judgement.trip.reason)
        return Command(update=update, goto=finish(applied(state, update)))

    return guard_round


def _parsed(result: Result) -> tuple[str | None, Plan | None]:
    if not result.has_value:
        return None, None
    value: Any = result.value
    if isinstance(value, list):  # a bare list of subtasks will do
        value = {"subtasks": value}
    try:
        return None, Plan.model_validate({} if value is None else value)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'plan'}: {e['msg']}" for e in error.errors()[:5])
        return f"this is no plan: {told}", None


def _renamed(plan: Plan, state: Mapping[str, Any], round_: int) -> Plan:
    """Return the plan with ids that no earlier round has used."""
    used = {r.subtask for r in state.get("results") or ()} | {g.subtask for g in state.get("gaps") or ()}
    clashing = {subtask.id for subtask in plan.subtasks if subtask.id in used}
    if not clashing or state.get("plan") == plan:
        return plan

    def new(id_: str) -> str:
        return f"{id_}~{round_}" if id_ in clashing else id_

    def renamed(subtask: Subtask) -> Subtask:
        return subtask.model_copy(
            update={"id": new(subtask.id), "depends_on": tuple(new(id_) for id_ in subtask.depends_on)}
        )

    return plan.model_copy(update={"subtasks": tuple(renamed(subtask) for subtask in plan.subtasks)})
