"""A supervisor plans, workers work in parallel, a synthesizer writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langgraph.graph import StateGraph
from langgraph.types import Command

from guardgraph.graphs.frame import frame
from guardgraph.guards import Convergence, Depth, Grounding, Guard, Limits, Schema, must_be
from guardgraph.nodes import (
    Agent,
    Scene,
    Ways,
    agent_node,
    dispatch_gate,
    early_stop,
    gate,
    note_stop,
    nothing_to_send,
    open_gaps,
    retried,
    round_gate,
    send,
    to_the_end,
    unsettled,
    worker_pieces,
)
from guardgraph.state import BadGraph, Plan

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

    names = frozenset(agent.name for head in (planner, *([synthesizer] if synthesizer else [])) for agent in head.line)

    def next_round(scene: Scene) -> Command[Any]:
        coming = {"round": (scene.state.get("round") or 1) + 1}
        later = replace(scene, state={**scene.state, **coming})
        stop = early_stop(later, placed, steps=ways.steps_of_work) or nothing_to_send(later)
        if stop is None:
            return Command(update=coming, goto=[send(planner, later.state, extra=staff)])
        if not open_gaps(scene.state):  # with nothing missing, nobody needs another round
            return Command(goto=to_the_end(scene.state, synthesizer))
        known = {"ending": stop, "verdicts": [note_stop(scene, stop)]}
        return Command(update=known, goto=to_the_end({**scene.state, **known}, synthesizer))

    def after_work(scene: Scene) -> Any:
        return dispatch if unsettled(scene.state, scene.state.get("plan")) else next_round(scene)

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
    hands, planners = [worker.name for worker in workers], [agent.name for agent in planner.line]
    ways = Ways(placed, frozenset([dispatch, *hands, *planners]), synthesizer)
    ends = (synthesizer.name, "conclude") if synthesizer else ("conclude",)
    again = retried([planner], placed, gate="round")
    for agent in planner.line:
        graph.add_node(agent.name, agent_node(agent, writes=lambda r: {"plans": [r]}, concurrency=concurrency))
        graph.add_edge(agent.name, "guard_round" if has_round else dispatch)
    if has_round:
        rounds = round_gate(placed, planner=planner, names=names, go=dispatch, ways=ways)
        graph.add_node("guard_round", rounds, destinations=_ways(dispatch, *again, *ends))
    sender = dispatch_gate(
        placed,
        planner=planner,
        workers=workers,
        names=names,
        next_round=next_round,
        ways=ways,
        reads_plan=not has_round,
    )
    graph.add_node(dispatch, sender, destinations=_ways(*hands, *again, planner.name, *ends))
    grounded = any(isinstance(guard, Grounding) for guard in placed)
    for worker in workers:
        for agent in worker.line:
            graph.add_node(agent.name, agent_node(agent, concurrency=concurrency, evidence=grounded))
            graph.add_edge(agent.name, collect)
    graph.add_node(
        collect,
        gate(placed, agents=workers, then=after_work, goes=[dispatch, planner.name], author=synthesizer),
        destinations=_ways(*retried(workers, placed, gate="handoff"), dispatch, planner.name, *ends),
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
