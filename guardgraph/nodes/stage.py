"""The gate behind one stage of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send
from guardgraph.nodes.handoff import new_results
from guardgraph.nodes.pieces import accepted_of
from guardgraph.nodes.review import Review, review
from guardgraph.nodes.scene import scene_of
from guardgraph.state import Ending

__all__ = ("Stage", "stage_gate")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline: an agent, and what its failure means."""

    agent: Agent
    """Who does it; its `timeout` is the stage's."""
    critical: bool = True
    """Whether the run fails with it; an optional stage that fails is skipped, and is a gap."""


def stage_gate(guards: Sequence[Guard], *, stage: Stage, following: Stage | None, end: str) -> Callable[..., Any]:
    """Return the node that reviews what `stage` has answered and sends the task on to the `following` one.

    Behind the last stage, what was accepted last is the draft, and `end` is next.
    """
    agents = {agent.name: agent for agent in stage.agent.line}

    def handoff(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        scene = scene_of(state, config)
        found = review(scene, guards, agents, new_results(state), gate="handoff")
        update = _update(found)
        after = {**state, **{key: [*(state.get(key) or ()), *value] for key, value in update.items()}}
        for old, agent, reason in found.again:
            return Command(update=update, goto=[send(agent, after, attempt=old.attempt + 1, feedback=reason)])
        if found.ending is None and stage.critical and not found.accepted:
            gap = found.gaps[-1] if found.gaps else None
            found.ending = Ending(
                status="failed",
                stopped_by=gap.guard if gap else None,
                reason=f"stage {stage.agent.name!r} is critical and failed: {gap.reason if gap else 'no answer'}",
            )
        if found.ending is not None:
            return Command(update={**update, "ending": found.ending}, goto="conclude")
        if following is not None:
            return Command(update=update, goto=[send(following.agent, after)])
        accepted = accepted_of(after)
        return Command(update={**update, "draft": accepted[-1] if accepted else None}, goto=end)

    return handoff


def _update(found: Review) -> dict[str, Any]:
    return {
        "accepted": [result.id for result in found.accepted],
        "refused": [result.id for result in found.refused],
        "gaps": found.gaps,
        "verdicts": found.verdicts,
    }
