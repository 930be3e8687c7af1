"""Decide which subtasks of a plan are sent to which workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.nodes.context import can_do, skills_of
from guardgraph.nodes.decisions.plan import read_plan
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import EarlyStop, Gap, Plan, Subtask, nearest_text

__all__ = (
    "DispatchDecision",
    "decide_dispatch",
    "nothing_to_send",
    "pending_subtasks",
    "read_plan_and_dispatch",
    "wave_limit",
)

_WAVE = 512
_EACH = 16


@dataclass(slots=True)
class DispatchDecision:
    """What one pass of the dispatch gate decides, before its guards judge each send."""

    picked: list[tuple[Agent, Subtask]] = field(default_factory=list[tuple[Agent, Subtask]])
    """The subtasks to send now, each with its worker, by priority."""
    waiting: list[Subtask] = field(default_factory=list[Subtask])
    """Subtasks that depend on unfinished ones."""
    gaps: list[Gap] = field(default_factory=list[Gap])
    """Subtasks that no worker can do."""


def read_plan_and_dispatch(gate: GateContext, agents: Sequence[Agent]) -> Destination | None:
    """Read a new plan, judge it by the guards of `round`, and send its subtasks, each judged by those of `dispatch`.

    The first of `agents` is the planner, the others are its workers. All that can start is sent at once, in order of
    priority, but at most 512 subtasks, or 16 for each agent that may work at a time if those are more: LangGraph's cost
    of a superstep grows with the square of its tasks. What no worker can do, what depends on something that is missing,
    and what a guard stops becomes a gap. Where nothing is left to send, the route of the gate decides where to go.
    """
    planner, *workers = agents
    plan: Plan | None = gate.state.get("plan")
    if plan is None or not pending_subtasks(gate.state, plan):
        read = read_plan(gate, planner, workers)
        if not isinstance(read, Plan):
            return read
        plan = read
    stop = gate.stop_reason()
    if stop is not None:
        return gate.stop_for(stop)
    limit = wave_limit(gate)
    while True:
        decision = decide_dispatch(gate.state, workers, plan, limit=limit)
        gate.write_unchecked(gaps=decision.gaps)
        if not decision.picked:  # nothing is under way, so what still waits depends on a gap
            missing = [Gap(subtask=one.id, reason="what it depends on is missing") for one in decision.waiting]
            gate.write_unchecked(gaps=missing)
            return None
        sends = gate.allowed(gate.send(worker, subtask) for worker, subtask in decision.picked)
        ending: EarlyStop | None = gate.state.get("ending")
        if ending is not None:
            return gate.end(ending)
        if sends:
            return sends


def wave_limit(gate: GateContext) -> int | None:
    """Return how many subtasks a superstep takes at most; `None` where no limit is set."""
    concurrency = gate.team.concurrency
    return None if concurrency is None else max(_WAVE, _EACH * concurrency)


def nothing_to_send(gate: GateContext) -> EarlyStop | None:
    """Return what ends a run that may send no more subtasks, whatever the planner would plan."""
    left, depth = gate.unspent.subtasks, gate.allowance.depth
    if left is not None and left <= 0:
        return EarlyStop(status="degraded", stopped_by="Limits", reason="no subtasks left")
    if depth is not None and gate.position.depth + 1 > depth:
        return EarlyStop(status="degraded", stopped_by="Depth", reason=f"no agent may work below level {depth}")
    return None


def pending_subtasks(state: Mapping[str, Any], plan: Plan | None = None) -> list[Subtask]:
    """Return the subtasks of a plan (by default the current one) that have neither a result nor a gap."""
    plan = plan or state.get("plan")
    if plan is None:
        return []
    tried = {result.subtask for result in state.get("results") or ()}
    settled = tried | {gap.subtask for gap in state.get("gaps") or () if not gap.path}
    return [subtask for subtask in plan.subtasks if subtask.id not in settled]


def decide_dispatch(
    state: Mapping[str, Any], workers: Sequence[Agent], plan: Plan, *, limit: int | None = None
) -> DispatchDecision:
    """Decide which subtasks can start and which worker does each, in order of priority; at most `limit` are picked.

    Of the workers that can do a subtask, the one with the least to do gets it, in proportion to its `copies`.
    """
    decision = DispatchDecision()
    accepted = set(state.get("accepted") or ())
    done = {result.subtask for result in state.get("results") or () if result.id in accepted}
    pending = pending_subtasks(state, plan)
    possible = done | {subtask.id for subtask in pending}
    load = Counter[str]()
    for subtask in sorted(pending, key=lambda subtask: -subtask.priority):
        if limit is not None and len(decision.picked) == limit:
            break
        missing = [need for need in subtask.depends_on if need not in possible]
        if missing:
            reason = f"it depends on what is missing: {', '.join(missing)}"
            decision.gaps.append(Gap(subtask=subtask.id, reason=reason))
            possible.discard(subtask.id)
        elif not done.issuperset(subtask.depends_on):
            decision.waiting.append(subtask)
        elif able := [agent for agent in workers if can_do(agent, subtask.skill)]:
            agent = min(able, key=lambda agent: load[agent.name] / (agent.copies or 1))
            load[agent.name] += 1
            decision.picked.append((agent, subtask))
        else:
            known = skills_of(workers)
            nearest = nearest_text(subtask.skill or "", known)
            reason = f"no worker has the skill {subtask.skill!r}; there are: {', '.join(known)}{nearest}"
            decision.gaps.append(Gap(subtask=subtask.id, reason=reason))
    return decision
