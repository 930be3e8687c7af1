"""The gate behind agents: their new results are reviewed together; only what is accepted reaches anybody else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.assign import send, send_subtask
from guardgraph.nodes.review import Again, review
from guardgraph.nodes.scene import Scene, applied, scene_of
from guardgraph.state import Result

__all__ = ("Then", "gate", "go_on", "new_results")

Then: TypeAlias = "Callable[[Scene], str | list[Send] | Command[Any]]"
"""Where to go from a gate: a node, what to send, or a `Command` that also updates the state."""


def gate(guards: Sequence[Guard], *, agents: Sequence[Agent], then: Then, stop: str = "conclude") -> Callable[..., Any]:
    """Return a node that reviews the new results of `agents` (and of their fallbacks) by the guards of `handoff`.

    A refused result is tried again with the reason, as often as its agent and the guard allow, then by its fallback;
    then it is a gap. Once nothing is left to try, `then` is asked where to go; the state it sees in `Scene.state` is
    as the review leaves it. A guard that ends the run leads to `stop`. Name all these nodes, and the agents, as
    `destinations` of the gate.
    """
    known = {member.name: member for agent in agents for member in agent.line}

    def reviewing(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        scene = scene_of(state, config)
        found = review(scene, guards, known, new_results(state), gate="handoff")
        update: dict[str, Any] = {
            "accepted": [result.id for result in found.accepted],
            "refused": [result.id for result in found.refused],
            "gaps": found.gaps,
            "verdicts": found.verdicts,
        }
        if found.ending is not None:
            return Command(update={**update, "ending": found.ending}, goto=stop)
        if found.again:
            after = applied(state, update)
            return Command(update=update, goto=[_send_again(again, after) for again in found.again])
        return go_on(scene, update, then)

    return reviewing


def go_on(scene: Scene, update: Mapping[str, Any], then: Then) -> Command[Any]:
    """Return a gate's update, and where `then` says to go from the state as the update leaves it."""
    way = then(replace(scene, state=applied(scene.state, update)))
    if not isinstance(way, Command):
        return Command(update=update, goto=way)
    more: dict[str, Any] = dict(way.update or {})
    both = {key: [*update[key], *more[key]] for key in more.keys() & update.keys() if isinstance(more[key], list)}
    return Command(update={**update, **more, **both}, goto=way.goto)


def new_results(state: Mapping[str, Any]) -> list[Result]:
    """Return the results that no gate has reviewed yet."""
    seen = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    return [result for result in state.get("results") or () if result.id not in seen]


def _send_again(again: Again, state: Mapping[str, Any]) -> Send:
    attempt = again.result.attempt + 1
    planned = state["plan"].subtasks if state.get("plan") else ()
    subtask = next((subtask for subtask in planned if subtask.id == again.result.subtask), None)
    if subtask is None:
        return send(again.agent, state, attempt=attempt, feedback=again.reason)
    return send_subtask(again.agent, subtask, state, attempt=attempt, feedback=again.reason)
