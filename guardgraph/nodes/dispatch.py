"""Which subtasks are sent to whom, and which the allowance does not pay for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Send

from guardgraph.guards import Escalate, Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send_subtask
from guardgraph.nodes.place import role_of
from guardgraph.nodes.rounds import read_plan, take_read
from guardgraph.nodes.scene import Scene, scene_of
from guardgraph.nodes.ways import Then, Ways, early_stop
from guardgraph.state import Allowance, Amount, Ending, Gap, Plan, Subtask, Usage, Verdict

__all__ = ("Selection", "dispatch_gate", "nothing_to_send", "select", "unsettled")


@dataclass(slots=True)
class Selection:
    """What one pass of the dispatch gate decides."""

    picked: list[tuple[Agent, Subtask]] = field(default_factory=list[tuple[Agent, Subtask]])
    sent: list[Send] = field(default_factory=list[Send])
    gaps: list[Gap] = field(default_factory=list[Gap])
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    ending: Ending | None = None


def dispatch_gate(
    guards: Sequence[Guard],
    *,
    planner: Agent,
    workers: Sequence[Agent],
    names: frozenset[str],
    next_round: Then,
    ways: Ways,
    reads_plan: bool,
) -> Callable[..., Any]:
    """Return the node that sends subtasks; where no `guard_round` stands before it, it reads the plan itself.

    All that can start are sent at once, in order of priority. What no worker can do, what depends on something that
    is missing, and what a guard stops becomes a gap.
    """

    def dispatch(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        scene = scene_of(state, config)
        update: dict[str, Any] = {}
        plan: Plan | None = state.get("plan")
        if reads_plan and not unsettled(state, plan):
            read = read_plan(scene, (), planner, names=names)
            if read.plan is None:
                return take_read(scene, read, ways, next_round)
            update, plan = read.update, read.plan
        stop = early_stop(scene, guards, steps=ways.steps_of_work)
        if stop is not None:
            return ways.stop(scene, update, stop)
        chosen = select(scene, guards, workers, plan or Plan())
        update = {
            **update,
            "verdicts": [*update.get("verdicts", ()), *chosen.verdicts],
            "gaps": [*update.get("gaps", ()), *chosen.gaps],
        }
        if chosen.ending is not None:
            return ways.end(scene, update, chosen.ending)
        return ways.take(scene, update, (lambda _: chosen.sent) if chosen.sent else next_round)

    return dispatch


def nothing_to_send(scene: Scene) -> Ending | None:
    """Return what ends a run whose planner could plan what it liked: no subtask may be sent any more."""
    left, depth = scene.left.subtasks, scene.allowance.depth
    if left is not None and left <= 0:
        return Ending(status="degraded", stopped_by="Limits", reason="no subtasks left")
    if depth is not None and scene.position.depth + 1 > depth:
        return Ending(status="degraded", stopped_by="Depth", reason=f"nobody may work below level {depth}")
    return None


def unsettled(state: Mapping[str, Any], plan: Plan | None) -> list[Subtask]:
    """Return the subtasks of a plan that were neither tried nor given up."""
    if plan is None:
        return []
    tried = {result.subtask for result in state.get("results") or ()}
    settled = tried | {gap.subtask for gap in state.get("gaps") or () if not gap.path}
    return [subtask for subtask in plan.subtasks if subtask.id not in settled]


def select(scene: Scene, guards: Sequence[Guard], workers: Sequence[Agent], plan: Plan) -> Selection:
    """Choose what is sent now: in order of priority, as long as what is left pays for it."""
    chosen = Selection()
    accepted = set(scene.state.get("accepted") or ())
    done = {result.subtask for result in scene.state.get("results") or () if result.id in accepted}
    waiting = unsettled(scene.state, plan)
    possible = done | {subtask.id for subtask in waiting}
    turns: dict[frozenset[str], int] = {}
    left = scene.left
    for subtask in sorted(waiting, key=lambda subtask: -subtask.priority):
        missing = [need for need in subtask.depends_on if need not in possible]
        if missing:
            chosen.gaps.append(Gap(subtask=subtask.id, reason=f"it depends on what is missing: {', '.join(missing)}"))
            possible.discard(subtask.id)
        elif done.issuperset(subtask.depends_on):
            left = _offer(chosen, scene, guards, workers, subtask, left, turns)
            if chosen.ending is not None:
                return chosen
    for worker, subtask in chosen.picked:  # counted only now: a guard that ends the run sends nobody
        refusal = _count(scene, subtask)
        if refusal is None:
            chosen.sent.append(send_subtask(worker, subtask, scene.state))
        else:
            chosen.gaps.append(Gap(subtask=subtask.id, agent=worker.name, reason=refusal, guard="Limits"))
    if not chosen.sent:  # what still waits now waits for a gap
        open_ = [s for s in waiting if s.id not in {gap.subtask for gap in chosen.gaps}]
        chosen.gaps.extend(Gap(subtask=s.id, reason="what it depends on is missing") for s in open_)
    return chosen


def _offer(
    chosen: Selection,
    scene: Scene,
    guards: Sequence[Guard],
    workers: Sequence[Agent],
    subtask: Subtask,
    left: Allowance,
    turns: dict[frozenset[str], int],
) -> Allowance:
    """Pick one subtask or note why not; return what is left after it."""
    worker = _worker(workers, subtask, turns)
    if worker is None:
        skills = sorted({skill for agent in workers for skill in (*agent.skills, agent.name)})
        reason = f"no worker has the skill {subtask.skill!r}; there are: {', '.join(skills)}"
        chosen.gaps.append(Gap(subtask=subtask.id, reason=reason))
        return left
    expects = worker.expected or scene.services.costs.expected(role_of(scene.position, worker.name))
    known = {**scene.state, "verdicts": [*(scene.state.get("verdicts") or ()), *chosen.verdicts]}
    judgement = scene.judge(guards, "dispatch", subtask, left=left, expects=expects, deeper=1, state=known)
    chosen.verdicts.extend(judgement.alerts)
    trip = judgement.trip
    if trip is not None:
        chosen.verdicts.append(trip)
        chosen.gaps.append(Gap(subtask=subtask.id, agent=worker.name, reason=trip.reason, guard=trip.guard))
        if isinstance(judgement.on_trip, Escalate):
            chosen.ending = Ending(status="escalated", stopped_by=trip.guard, reason=trip.reason)
        return left
    chosen.picked.append((worker, subtask))
    return _after(left, expects)


def _worker(workers: Sequence[Agent], subtask: Subtask, turns: dict[frozenset[str], int]) -> Agent | None:
    """Return who does it: those who can take turns."""
    wanted = subtask.skill
    fit = [agent for agent in workers if wanted is None or wanted in agent.skills or wanted == agent.name]
    if not fit:
        return None
    key = frozenset(agent.name for agent in fit)
    turns[key] = turns.get(key, -1) + 1
    return fit[turns[key] % len(fit)]


def _count(scene: Scene, subtask: Subtask) -> str | None:
    """Book one subtask in the whole tree's books; say why it cannot be booked."""
    if scene.left.subtasks is None:
        return None
    services, account = scene.services, scene.position.work
    entry = f"{account}>{subtask.id}"
    refusal = services.ledger.reserve(entry, account, services.epoch_of(account), Amount(subtasks=1))
    if refusal is not None:
        return str(refusal)
    services.ledger.settle(entry, Usage())
    return None


def _after(left: Allowance, expects: Amount | None) -> Allowance:
    """Return what is left once this one is let through."""
    part = expects or Amount()
    usage = Usage(input_tokens=part.tokens, usd=part.usd if part.usd is not None else 0, calls=part.calls)  # type: ignore[arg-type]
    rest = left.minus(usage)
    return rest if rest.subtasks is None else rest.model_copy(update={"subtasks": max(rest.subtasks - 1, 0)})
