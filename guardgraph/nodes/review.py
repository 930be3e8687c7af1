"""Accept new results, or refuse them with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langgraph.types import Send

from guardgraph.guards import Escalate, Guard, OnTrip, Refuse, Retry
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.attempt import gap_of
from guardgraph.nodes.scene import Scene
from guardgraph.state import Ending, Gap, Gate, Request, Result, Verdict

__all__ = ("Again", "Review", "asks_again", "gaps_within", "request_of", "retried", "review")


class Again(NamedTuple):
    """One more attempt."""

    agent: Agent
    """Who tries now."""
    request: Request
    """What was asked before, and why the answer was refused."""
    gaps: tuple[Gap, ...] = ()
    """What is missing if the run ends before."""

    @classmethod
    def after(
        cls,
        result: Result,
        scene: Scene,
        agents: Mapping[str, Agent],
        *,
        reason: str,
        on_trip: OnTrip | None,
        gaps: tuple[Gap, ...] = (),
    ) -> Again | None:
        """Return the attempt that follows a refused `result`, if its agent, its fallback and the time allow one.

        `on_trip` is what the guard that refused it wants done; `None` where no guard did. What an `agent_node` has not
        written is not tried again: nobody knows what was asked.
        """
        asked = request_of(scene.state, result)
        agent = None if asked is None else _next(scene, agents, result, asked, on_trip)
        if asked is None or agent is None:
            return None
        tries = asked.tries + 1 if agent.name == result.agent else 1
        request = asked.model_copy(update={"attempt": result.attempt + 1, "tries": tries, "feedback": reason})
        return cls(agent, request, gaps)

    def send(self, state: Mapping[str, Any]) -> Send:
        """Return what makes the agent try."""
        return Send(self.agent.name, {"request": self.request, "position": state["position"]})


@dataclass(slots=True)
class Review:
    """What a gate decides about new results."""

    accepted: list[Result] = field(default_factory=list[Result])
    refused: list[Result] = field(default_factory=list[Result])
    again: list[Again] = field(default_factory=list[Again])
    gaps: list[Gap] = field(default_factory=list[Gap])
    verdicts: list[Verdict] = field(default_factory=list[Verdict])
    ending: Ending | None = None


def review(
    scene: Scene, guards: Sequence[Guard], agents: Mapping[str, Agent], results: Sequence[Result], *, gate: Gate
) -> Review:
    """Judge `results` in their order; `agents` are the declared agents by name, fallbacks included.

    Where a guard ends the run nobody tries again: all that was refused is a gap.
    """
    found = Review()
    for result in results:
        _review_one(found, scene, guards, agents, result, gate)
    if found.ending is not None:
        found.gaps.extend(gap for again in found.again for gap in again.gaps)
        found.again.clear()
    return found


def asks_again(guards: Sequence[Guard], *, gate: Gate) -> bool:
    """Return whether one of the guards gives what it refuses at `gate` back to its agent."""
    return any(gate in g.gates and isinstance(g.on_trip, Retry) and g.on_trip.times > 0 for g in guards)


def retried(agents: Iterable[Agent], guards: Sequence[Guard], *, gate: Gate) -> tuple[str, ...]:
    """Return the names of those whom a review at `gate` can send to: agents that may try again, and fallbacks."""
    asked = asks_again(guards, gate=gate)
    return tuple(
        member.name for agent in agents for member in agent.line if asked or member.attempts > 1 or member is not agent
    )


def _review_one(
    found: Review, scene: Scene, guards: Sequence[Guard], agents: Mapping[str, Agent], result: Result, gate: Gate
) -> None:
    fit = guards if result.has_value else [guard for guard in guards if getattr(guard, "judges_failures", False)]
    judgement = scene.judge(fit, gate, result, left=None)
    found.verdicts.extend(judgement.alerts)
    if judgement.trip is None and result.has_value:
        found.accepted.append(result)
        found.gaps.extend(gaps_within(result))
        return
    found.refused.append(result)
    if judgement.trip is not None:
        found.verdicts.append(judgement.trip)
    reason = judgement.trip.reason if judgement.trip else result.error.message if result.error else "no answer"
    guard = judgement.trip.guard if judgement.trip else result.stopped_by
    gaps = (*result.gaps, gap_of(result, guard=guard, reason=reason))
    again = Again.after(result, scene, agents, reason=reason, on_trip=judgement.on_trip, gaps=gaps)
    if again is not None:
        found.again.append(again)
        return
    found.gaps.extend(gaps)
    if isinstance(judgement.on_trip, Escalate):
        found.ending = Ending(status="escalated", stopped_by=guard, reason=reason)
    elif isinstance(judgement.on_trip, Refuse) and gate == "exit":
        found.ending = Ending(status="refused", stopped_by=guard, reason=reason)


def gaps_within(result: Result) -> list[Gap]:
    """Return what an accepted result leaves open: a partial one is never taken for a whole one."""
    if result.status == "ok":
        return []
    return list(result.gaps) or [gap_of(result)]


def _next(
    scene: Scene, agents: Mapping[str, Agent], result: Result, asked: Request, on_trip: OnTrip | None
) -> Agent | None:
    """Return who tries again: the same agent, its fallback, or nobody."""
    agent = agents.get(result.agent)
    hopeless = result.error is not None and result.error.kind in ("skipped", "stopped")
    until = scene.allowance.deadline
    if agent is None or (until is not None and scene.now >= until):
        return None
    if hopeless:  # nothing is left to pay for a model, but code may do without
        return next((other for other in agent.line[1:] if other.kind == "function"), None)
    allowed = agent.attempts
    if isinstance(on_trip, Retry):
        allowed = max(allowed, 1 + on_trip.times)
    elif on_trip is not None:  # refused for good
        return None
    return agent if asked.tries < allowed else agent.fallback


def request_of(state: Mapping[str, Any], result: Result) -> Request | None:
    """Return what was asked of whom has given a `result` that no gate has reviewed yet."""
    asked = (state.get("requests") or {}).get(result.id)
    return asked if asked is None or isinstance(asked, Request) else Request.model_validate(asked)
