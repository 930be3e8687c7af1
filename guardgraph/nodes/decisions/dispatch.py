"""Which subtasks of a plan are sent to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.plan import read_plan
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import EarlyStop, Gap, Plan, Subtask

__all__ = ("DispatchDecision", "decide_dispatch", "nothing_to_send", "pending_subtasks", "read_plan_and_dispatch")

_WAVE = 512
_EACH = 16


@dataclass(slots=True)
class DispatchDecision:
    """What one pass of the dispatch gate decides, before its guards are asked."""

    picked: list[tuple[Agent, Subtask]] = field(default_factory=list[tuple[Agent, Subtask]])
    """Who would do what now, by priority."""
    waiting: list[Subtask] = field(default_factory=list[Subtask])
    """What depends on something that is not there yet."""
    gaps: list[Gap] = field(default_factory=list[Gap])
    """What nobody can do."""


def read_plan_and_dispatch(gate: GateContext, agents: Sequence[Agent]) -> Destination | None:
    """Read a new plan, judge it by the guards of `round`, and send its subtasks, each judged by those of `dispatch`.

    The first of `agents` is the planner, the others are its workers. All that can start is sent at once, in order of
    priority, but at most 512 subtasks, or 16 for each agent that may work at a time if those are more: LangGraph's cost
    of a superstep grows with the square of its tasks. What no worker can do, what depends on something that is missing,
    and what a guard stops becomes a gap. Where nothing is left to send, the route of the gate decides where to go.
    """
    planner, *workers = agents
    plan: Plan | None = gate.state.get("plan")
    if not pending_subtasks(gate.state, plan):
        read = read_plan(gate, planner)
        if not isinstance(read, Plan):
            return read
        plan = read
    stop = gate.must_stop()
    if stop is not None:
        return gate.stop_early(stop)
    decision = decide_dispatch(gate.state, workers, plan or Plan())
    gate.note(gaps=decision.gaps)
    for wave in _waves(decision.picked, gate.team.concurrency):
        sends = gate.allow(gate.send(worker, subtask) for worker, subtask in wave)
        ending: EarlyStop | None = gate.state.get("ending")
        if ending is not None:
            return gate.end(ending)
        if sends:
            return sends
    # what still waits now waits for a gap
    gate.note(gaps=[Gap(subtask=subtask.id, reason="what it depends on is missing") for subtask in decision.waiting])
    return None


def nothing_to_send(gate: GateContext) -> EarlyStop | None:
    """Return what ends a run whose planner could plan what it liked: no subtask may be sent any more."""
    left, depth = gate.unspent.subtasks, gate.allowance.depth
    if left is not None and left <= 0:
        return EarlyStop(status="degraded", stopped_by="Limits", reason="no subtasks left")
    if depth is not None and gate.position.depth + 1 > depth:
        return EarlyStop(status="degraded", stopped_by="Depth", reason=f"nobody may work below level {depth}")
    return None


def pending_subtasks(state: Mapping[str, Any], plan: Plan | None = None) -> list[Subtask]:
    """Return the subtasks of a plan (by default of the present one) that were neither tried nor given up."""
    plan = plan or state.get("plan")
    if plan is None:
        return []
    tried = {result.subtask for result in state.get("results") or ()}
    settled = tried | {gap.subtask for gap in state.get("gaps") or () if not gap.path}
    return [subtask for subtask in plan.subtasks if subtask.id not in settled]


def decide_dispatch(state: Mapping[str, Any], workers: Sequence[Agent], plan: Plan) -> DispatchDecision:
    """Choose who does what now, in order of priority."""
    decision = DispatchDecision()
    accepted = set(state.get("accepted") or ())
    done = {result.subtask for result in state.get("results") or () if result.id in accepted}
    pending = pending_subtasks(state, plan)
    possible = done | {subtask.id for subtask in pending}
    turns: dict[frozenset[str], int] = {}
    for subtask in sorted(pending, key=lambda subtask: -subtask.priority):
        missing = [need for need in subtask.depends_on if need not in possible]
        if missing:
            reason = f"it depends on what is missing: {', '.join(missing)}"
            decision.gaps.append(Gap(subtask=subtask.id, reason=reason))
            possible.discard(subtask.id)
        elif done.issuperset(subtask.depends_on):
            _pick(decision, workers, subtask, turns)
        else:
            decision.waiting.append(subtask)
    return decision


def _waves(
    picked: Sequence[tuple[Agent, Subtask]], concurrency: int | None
) -> Iterator[Sequence[tuple[Agent, Subtask]]]:
    """Yield what is sent in one superstep after the other."""
    size = max(_WAVE, len(picked) if concurrency is None else _EACH * concurrency)
    for start in range(0, len(picked), size):
        yield picked[start : start + size]


def _pick(
    decision: DispatchDecision, workers: Sequence[Agent], subtask: Subtask, turns: dict[frozenset[str], int]
) -> None:
    """Pick who does it: those who can take turns."""
    wanted = subtask.skill
    fit = [agent for agent in workers if wanted is None or wanted in agent.skills or wanted == agent.name]
    if not fit:
        skills = sorted({skill for agent in workers for skill in (*agent.skills, agent.name)})
        reason = f"no worker has the skill {wanted!r}; there are: {', '.join(skills)}"
        decision.gaps.append(Gap(subtask=subtask.id, reason=reason))
        return
    key = frozenset(agent.name for agent in fit)
    turns[key] = turns.get(key, -1) + 1
    decision.picked.append((fit[turns[key] % len(fit)], subtask))
