"""Stages in a fixed order, with a gate after each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.blocks import Block, draft_of, inputs_of, missing_of, sent_back
from guardgraph.graphs.stage import Parallel, Stage
from guardgraph.graphs.team import Team
from guardgraph.guards import Depth, Guard, Schema
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import BadGraph, EarlyStop
from guardgraph.state.argument_checks import must_be

__all__ = ("pipeline",)


def pipeline(
    stages: Sequence[Stage | Agent | Parallel],
    *,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = None,
    name: str = "pipeline",
) -> StateGraph[Any, Any, Any, Any]:
    """Return stages that follow each other as an uncompiled graph; the value is the answer of the last one.

    Every stage is given the task and the last answer of each other stage, the latest last. A stage that fails is tried
    again as its agent allows; then an optional one is skipped and is a gap, a critical one fails the run (a bare
    `Agent` is critical). A stage with `SendBack` may send the work back to an earlier one, with the reason: that begins
    a round. After a crash the run resumes at the unfinished stage; `Runner.retry` repeats one that has failed.
    `guards=None` means `Depth()` and `Schema()`; `[]` means none. Raises `BadGraph` for no stages, for names that are
    not unique or are reserved, and for a `SendBack` to anything but an earlier stage.
    """
    must_be("pipeline", "stages", stages, Sequence[Stage | Agent | Parallel])
    if not stages:
        raise BadGraph("a pipeline needs at least one stage")
    blocks = [_block(stage) for stage in stages]
    team = Team(
        name,
        guards=guards,
        default_guards=(Depth(), Schema()),
        entry=partial(_next_block, blocks=blocks, following=blocks),
        destinations=_reachable(blocks),
        required=[agent for block in blocks for agent in block.agents],
        concurrency=concurrency,
    )
    for number, block in enumerate(blocks):
        gate, following, earlier = f"handoff_{block.name}", blocks[number + 1 :], blocks[:number]
        team.add_agents(block.agents, gate=gate, can_rewrite=not following and not block.is_joined)
        route = partial(_after_block, block=block, blocks=blocks, following=following)
        again = [agent for back in _targets(block, earlier) for agent in back.agents]
        team.add_gate(gate, agents=block.agents, route=route, destinations=[*_reachable(following), *again])
    return team.build()


def _block(given: Stage | Agent | Parallel) -> Block:
    if isinstance(given, Parallel):
        return Block(given.name, given.stages, is_joined=True)
    stage = given if isinstance(given, Stage) else Stage(given)
    return Block(stage.agent.name, (stage,), is_joined=False)


def _targets(block: Block, earlier: Sequence[Block]) -> list[Block]:
    """Return the blocks to which the stages of `block` may send the work back."""
    by_name, names = {one.name: one for one in earlier}, [s.send_back.to for s in block.stages if s.send_back]
    unknown = next((name for name in names if name not in by_name), None)
    if unknown is not None:
        known = ", ".join(map(repr, by_name)) or "none"
        raise BadGraph(f"stage {block.name!r} sends back to {unknown!r}, which is no earlier stage; there are: {known}")
    return [by_name[name] for name in names]


def _reachable(blocks: Sequence[Block]) -> list[Agent]:
    """Return the agents to which a gate may send: an optional stage that a guard stops is skipped."""
    critical = next((number for number, block in enumerate(blocks, 1) if block.is_critical), len(blocks))
    return [agent for block in blocks[:critical] for agent in block.agents]


def _after_block(
    gate: GateContext, *, block: Block, blocks: Sequence[Block], following: Sequence[Block]
) -> Destination:
    missing = missing_of(gate, block)
    if missing is not None:
        failed = f"stage {missing.subtask!r} is critical and failed: {missing.reason}"
        return gate.end(EarlyStop(status="failed", stopped_by=missing.guard, reason=failed))
    back = sent_back(gate, block)
    if isinstance(back, EarlyStop):
        return gate.end(back)
    if back is not None:
        target = next(one for one in blocks if one.name == back.to)
        context = inputs_of(gate, blocks)
        return [gate.send(agent, context=context, feedback=back.reason) for agent in target.agents]
    return _next_block(gate, blocks=blocks, following=following)


def _next_block(gate: GateContext, *, blocks: Sequence[Block], following: Sequence[Block]) -> Destination:
    """Go on to the next block. After the last one, the last accepted answer is the draft."""
    for block in following:
        if gate.state.get("ending") is not None:
            break
        context = inputs_of(gate, blocks)
        sends = [(stage, gate.send(stage.agent, context=context)) for stage in block.stages]
        allowed = gate.allowed([send for stage, send in sends if not stage.critical])
        chosen = [send for stage, send in sends if stage.critical or send in allowed]
        if chosen:
            return chosen
    return gate.conclude(draft_of(gate, blocks))
