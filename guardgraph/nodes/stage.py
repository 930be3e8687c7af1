"""The gate behind one stage of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.types import Command

from guardgraph.guards import Guard, check_fields
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send
from guardgraph.nodes.gate import gate
from guardgraph.nodes.pieces import accepted_of
from guardgraph.nodes.scene import Scene
from guardgraph.state import Ending

__all__ = ("Stage", "stage_gate")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline: an agent, and what its failure means."""

    agent: Agent
    """Who does it; its `timeout` is the stage's."""
    critical: bool = True
    """Whether the run fails with it; an optional stage that fails is skipped, and is a gap."""

    def __post_init__(self) -> None:
        check_fields(self)


def stage_gate(
    guards: Sequence[Guard], *, stage: Stage, following: Sequence[Stage], end: Literal["guard_exit", "conclude"]
) -> Callable[..., Any]:
    """Return the node that reviews what `stage` has answered and sends the task on to the first of those `following`.

    Behind the last stage, what was accepted last is the draft, and `end` is next.
    """
    names = {agent.name for agent in stage.agent.line}

    def then(scene: Scene) -> Any:
        accepted = accepted_of(scene.state)
        if stage.critical and not any(result.agent in names for result in accepted):
            gap = scene.state["gaps"][-1]
            reason = f"stage {stage.agent.name!r} is critical and failed: {gap.reason}"
            ending = Ending(status="failed", stopped_by=gap.guard, reason=reason)
            return Command(update={"ending": ending}, goto="conclude")
        if following:
            return [send(following[0].agent, scene.state)]
        return Command(update={"draft": accepted[-1] if accepted else None}, goto=end)

    return gate(
        guards,
        agents=[stage.agent],
        then=then,
        goes=[following[0].agent.name] if following else [end],
        drafts=not following and end == "guard_exit",
    )
