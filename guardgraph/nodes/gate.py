"""The gate behind agents: their new results are reviewed together; only what is accepted reaches anybody else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig

from guardgraph.guards import Guard
from guardgraph.nodes.agent import Agent
from guardgraph.nodes.review import Review, request_of, review
from guardgraph.nodes.scene import scene_of
from guardgraph.nodes.ways import Then, Ways
from guardgraph.state import Ending, Result

__all__ = ("gate", "new_results")


def gate(
    guards: Sequence[Guard],
    *,
    agents: Sequence[Agent],
    then: Then,
    goes: Collection[str],
    author: Agent | None = None,
    drafts: bool = False,
) -> Callable[..., Any]:
    """Return a node that reviews the new results of `agents` (and of their fallbacks) by the guards of `handoff`.

    A refused result is tried again with the reason, as often as its agent and the guard allow, then by its fallback;
    then it is a gap. Once nothing is left to try, `then` is asked where to go; the state it sees in `Scene.state` is
    as the review leaves it. It may go to the nodes that `goes` names, to the `author` of the team and to `conclude`;
    anything else ends the run as failed.

    Before anything goes on it is checked what ends a run: deadline, budget, rounds, visits of this gate (`Limits`), and
    LangGraph's `recursion_limit`. A run that is stopped goes to the author if anything was accepted, else to
    `conclude`. Name all these nodes, the agents, and `conclude` as `destinations` of the gate. Where what is accepted
    are `drafts`, a gate behind this one may have them written again. Raises `PatternError` where `then` raises.
    """
    known = {member.name: member for agent in agents for member in agent.line}
    ways = Ways(guards, frozenset([*goes, *known]), author, agents=frozenset(known))

    def reviewing(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        scene = scene_of(state, config)
        results = [result for result in new_results(state) if result.agent in known]
        found = review(scene, guards, known, results, gate="handoff")
        update = _update(found, drafts=drafts)
        if found.ending is not None:
            return ways.end(scene, update, found.ending)
        if found.again:
            lost = [gap for again in found.again for gap in again.gaps]
            free = all(again.agent.kind == "function" for again in found.again)
            sends = [again.send(state) for again in found.again]
            return ways.take(scene, update, lambda _: sends, lost=lost, free=free)
        tasks = (result for result in found.refused if result.subtask is None)  # a subtask is not done by who follows
        handoffs = {result.agent: result.handoff for result in tasks if result.handoff}
        return ways.take(scene, update, then, stop=_spent(state, results, known), handoffs=handoffs)

    return reviewing


def new_results(state: Mapping[str, Any]) -> list[Result]:
    """Return the results that no gate has reviewed yet."""
    seen = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    return [result for result in state.get("results") or () if result.id not in seen]


def _spent(state: Mapping[str, Any], results: Sequence[Result], agents: Mapping[str, Agent]) -> Ending | None:
    """Return what ends a run whose allowance has stopped all that came back, where none of that had a smaller share."""

    def is_short(result: Result) -> bool:
        agent, asked = agents.get(result.agent), request_of(state, result)
        share = asked.subtask.share if asked is not None and asked.subtask is not None else None
        alone = agent is not None and agent.kind != "team" and agent.share is None and share is None
        return alone and result.stopped_by == "Budget" and result.error is not None

    if not results or not all(is_short(result) for result in results):
        return None
    last = results[-1].error
    return Ending(status="degraded", stopped_by="Budget", reason=last.message if last else "the allowance is spent")


def _update(found: Review, *, drafts: bool) -> dict[str, Any]:
    answered = found.refused if drafts else (*found.accepted, *found.refused)
    return {
        "accepted": [result.id for result in found.accepted],
        "refused": [result.id for result in found.refused],
        "gaps": found.gaps,
        "verdicts": found.verdicts,
        "requests": dict.fromkeys(result.id for result in answered),
    }
