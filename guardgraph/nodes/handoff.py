"""New results are reviewed together: only what is accepted reaches anybody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send_subtask
from guardgraph.nodes.dispatch import unsettled
from guardgraph.nodes.review import review
from guardgraph.nodes.scene import scene_of
from guardgraph.state import Result, Subtask

__all__ = ("handoff_gate", "new_results")


def new_results(state: Mapping[str, Any]) -> list[Result]:
    """Return the results that no gate has reviewed yet."""
    seen = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    return [result for result in state.get("results") or () if result.id not in seen]


def handoff_gate(
    guards: Sequence[Guard],
    *,
    workers: Sequence[Agent],
    dispatch: str,
    next_round: Callable[..., Any],
    finish: Callable[..., Any],
) -> Callable[..., Any]:
    """Return the node that reviews workers' results; refused ones are tried again or become gaps."""
    agents = {agent.name: agent for worker in workers for agent in worker.line}

    def handoff(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        scene = scene_of(state, config)
        found = review(scene, guards, agents, new_results(state), gate="handoff")
        update: dict[str, Any] = {
            "accepted": [result.id for result in found.accepted],
            "refused": [result.id for result in found.refused],
            "gaps": found.gaps,
            "verdicts": found.verdicts,
        }
        after = {**state, **{key: [*(state.get(key) or ()), *value] for key, value in update.items()}}
        if found.ending is not None:
            update["ending"] = found.ending
            return Command(update=update, goto=finish({**after, "ending": found.ending}))
        if found.again:
            subtasks: dict[str | None, Subtask] = {s.id: s for s in state["plan"].subtasks}
            sends = [
                send_subtask(
                    a.agent, subtasks[a.result.subtask], after, attempt=a.result.attempt + 1, feedback=a.reason
                )
                for a in found.again
            ]
            return Command(update=update, goto=sends)
        if unsettled(after, state.get("plan")):
            return Command(update=update, goto=dispatch)
        route = next_round(scene, after)
        return Command(update={**update, **route.update}, goto=route.goto)

    return handoff
