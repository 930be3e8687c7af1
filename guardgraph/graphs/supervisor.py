"""A supervisor plans, workers work in parallel, a synthesizer writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langgraph.graph import StateGraph
from langgraph.types import Command

from guardgraph.graphs.frame import frame
from guardgraph.guards import Convergence, Depth, Grounding, Guard, Limits, Schema, must_be
from guardgraph.nodes import (
    Agent,
    Scene,
    agent_node,
    dispatch_gate,
    gate,
    retried,
    round_gate,
    send,
    unsettled,
    worker_pieces,
)
from guardgraph.state import BadGraph, Ending, Plan

__all__ = ("supervisor",)

_RESERVED = frozenset(
    {
        "guard_admission",
        "guard_round",
        "guard_dispatch",
        "guard_handoff",
        "guard_exit",
        "conclude",
        "dispatch",
        "collect",
    }
)


def supervisor(
    *,
    planner: Agent,
    workers: Sequence[Agent],
    synthesizer: Agent | None = None,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = 4,
    name: str = "supervisor",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a team as an uncompiled graph: plan, work in parallel, review, plan again, write.

    The planner answers a `Plan` and is asked again with accepted results and gaps; an empty plan ends the rounds. All
    subtasks that can start are sent at once; `concurrency` caps how many agents work at a time. `guards=None` stands
    for `Depth()`, `Convergence()`, `Limits()` and `Schema()`; `[]` for none. Without a synthesizer the value is the
    list of accepted results. Raises `BadGraph` for names that are empty, reserved or not unique, and for what is no
    agent or no guard.
    """
    _check(planner, workers, synthesizer, guards, concurrency)
    placed = tuple((Depth(), Convergence(), Limits(), Schema()) if guards is None else guards)
    planner = _planning(planner)
    staff = worker_pieces(workers)

    def next_round(scene: Scene) -> Command[Any]:
        if scene.is_late:
            ending = Ending(status="degraded", stopped_by="Deadline", reason="the time for work is over")
            known = {"ending": ending} if scene.state.get("gaps") else {}
            return Command(update=known, goto=finish({**scene.state, **known}))
        coming = {"round": (scene.state.get("round") or 1) + 1}
        return Command(update=coming, goto=[send(planner, {**scene.state, **coming}, extra=staff)])

    def after_work(scene: Scene) -> Any:
        return dispatch if unsettled(scene.state, scene.state.get("plan")) else next_round(scene)

    def finish(state: Mapping[str, Any]) -> Any:
        ending = state.get("ending")
        idle = not state.get("accepted") and (state.get("gaps") or ending is not None)
        if synthesizer is None or idle or (ending is not None and ending.status != "degraded"):
            return "conclude"
        return [send(synthesizer, state)]

    graph: Any = frame(
        name,
        guards=placed,
        begin=lambda state: [send(planner, state, extra=staff)],
        begins_at=[planner.name],
        author=synthesizer,
        concurrency=concurrency,
    )
    has_round = any("round" in guard.gates for guard in placed)
    dispatch = "guard_dispatch" if any("dispatch" in guard.gates for guard in placed) else "dispatch"
    collect = "guard_handoff" if any("handoff" in guard.gates for guard in placed) else "collect"
    ends = (synthesizer.name,) if synthesizer else ()
    planners = retried([planner], placed, gate="round")
    for agent in planner.line:
        graph.add_node(agent.name, agent_node(agent, writes=lambda r: {"plans": [r]}, concurrency=concurrency))
        graph.add_edge(agent.name, "guard_round" if has_round else dispatch)
    if has_round:
        rounds = round_gate(placed, planner=planner, workers=workers, go=dispatch, finish=finish)
        graph.add_node("guard_round", rounds, destinations=_ways(dispatch, *planners, *ends, "conclude"))
    sender = dispatch_gate(
        placed, planner=planner, workers=workers, next_round=next_round, finish=finish, reads_plan=not has_round
    )
    hands = [worker.name for worker in workers]
    graph.add_node(dispatch, sender, destinations=_ways(*hands, *planners, planner.name, *ends, "conclude"))
    grounded = any(isinstance(guard, Grounding) for guard in placed)
    for worker in workers:
        for agent in worker.line:
            graph.add_node(agent.name, agent_node(agent, concurrency=concurrency, evidence=grounded))
            graph.add_edge(agent.name, collect)
    graph.add_node(
        collect,
        gate(placed, agents=workers, then=after_work),
        destinations=_ways(*retried(workers, placed, gate="handoff"), dispatch, planner.name, *ends, "conclude"),
    )
    return graph


def _planning(planner: Agent) -> Agent:
    """Return the planner with `Plan` as its output, if it is a model that declares none."""
    if planner.kind != "model" or planner.output is not None:
        return planner
    return replace(planner, output=Plan)


def _ways(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _check(planner: Agent, workers: Sequence[Agent], synthesizer: Agent | None, guards: Any, concurrency: Any) -> None:
    must_be("supervisor", "planner", planner, Agent)
    must_be("supervisor", "workers", workers, Sequence[Agent])
    must_be("supervisor", "synthesizer", synthesizer, Agent | None)
    must_be("supervisor", "guards", guards, Sequence[Any] | None)
    must_be("supervisor", "concurrency", concurrency, int | None)
    if not workers:
        raise BadGraph("a supervisor needs at least one worker")
    if concurrency is not None and concurrency < 1:
        raise BadGraph(f"`concurrency` must be at least 1, got {concurrency!r}")
    heads = [planner, *workers, *([synthesizer] if synthesizer else [])]
    names = Counter(agent.name for head in heads for agent in head.line)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise BadGraph(f"agent names must be unique in a team, these stand twice: {', '.join(map(repr, twice))}")
    reserved = sorted(_RESERVED.intersection(names))
    if reserved:
        raise BadGraph(f"these agent names are taken by the team's own nodes: {', '.join(map(repr, reserved))}")
