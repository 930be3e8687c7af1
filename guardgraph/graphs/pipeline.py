"""Stages in a fixed order, with a gate after each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.blocks import Block, inputs_of, missing_of, sent_back, value_of
from guardgraph.graphs.stage import Parallel, Stage
from guardgraph.graphs.team import Team
from guardgraph.guards import Depth, Guard, Schema
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import BadGraph, EarlyStop
from guardgraph.state.argument_checks import must_be

__all__ = ("pipeline",)


def pipeline(
    stages: Sequence[Stage | Agent | Parallel],
    *,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = None,
    board: Board | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "pipeline",
) -> StateGraph[Any, Any, Any, Any]:
    """Return stages that follow each other as an uncompiled graph; the value is the answer of the last one.

    Every stage is given the task and the answers of the stages before it, in their order. A stage that fails is tried
    again as its agent allows; then an optional one is skipped and is a gap, a critical one fails the run (a bare
    `Agent` is critical). A stage with `SendBack` may send the work back to an earlier one, which is then also given its
    own answer and that of the sender, and the reason: that begins a round. After a crash the run resumes at the
    unfinished stage; `Runner.retry` repeats one that has failed. `guards=None` means `Depth()` and `Schema()`; `[]`
    means none. `reviewers` give opinions where guards name them. Raises `BadGraph` for no stages, for names that are
    not unique or are reserved, and for a `SendBack` to anything but an earlier stage.
    """
    must_be("pipeline", "stages", stages, Sequence[Stage | Agent | Parallel])
    if not stages:
        raise BadGraph("a pipeline needs at least one stage")
    blocks = [_block(stage) for stage in stages]
    _check_names(blocks)
    team = Team(
        name,
        guards=guards,
        default_guards=(Depth(), Schema()),
        entry=partial(_from_block, number=0, blocks=blocks),
        destinations=_reachable(blocks),
        required=[agent for block in blocks for agent in block.agents],
        concurrency=concurrency,
        board=board,
        reviewers=reviewers,
    )
    for number, block in enumerate(blocks):
        gate, following = f"handoff_{block.name}", blocks[number + 1 :]
        team.add_agents(block.agents, gate=gate, can_rewrite=not following and not block.is_joined)
        destinations = [*_reachable(following), *_sent_back_to(block, blocks[:number])]
        route = partial(_after_block, number=number, blocks=blocks)
        team.add_gate(gate, agents=block.agents, route=route, destinations=destinations)
    times = sum(stage.send_back.times for block in blocks for stage in block.stages if stage.send_back is not None)
    return team.expect(rounds=1 + times).build()


def _block(given: Stage | Agent | Parallel) -> Block:
    if isinstance(given, Parallel):
        return Block(given.name, given.stages, is_joined=True)
    stage = given if isinstance(given, Stage) else Stage(given)
    return Block(stage.agent.name, (stage,), is_joined=False)


def _check_names(blocks: Sequence[Block]) -> None:
    """Raise `BadGraph` for a `Parallel` stage that has the name of another stage; those of agents the team checks."""
    names = Counter(block.name for block in blocks)
    twice = next((block.name for block in blocks if block.is_joined and names[block.name] > 1), None)
    if twice is not None:
        raise BadGraph(f"two stages are called {twice!r}: give the `Parallel` stage another `name=`")


def _sent_back_to(block: Block, earlier: Sequence[Block]) -> list[Agent]:
    """Return the agents that may work again once a stage of `block` sends the work back."""
    places, wanted = {one.name: place for place, one in enumerate(earlier)}, [s.send_back for s in block.stages]
    targets = [back.to for back in wanted if back is not None]
    unknown = next((name for name in targets if name not in places), None)
    if unknown is not None:
        known = ", ".join(map(repr, places)) or "none"
        raise BadGraph(f"stage {block.name!r} sends back to {unknown!r}, which is no earlier stage; there are: {known}")
    return [agent for name in targets for agent in _reachable([*earlier[places[name] :], block])]


def _reachable(blocks: Sequence[Block]) -> list[Agent]:
    """Return the agents to which a gate may send: an optional stage that a guard stops is skipped."""
    critical = next((number for number, block in enumerate(blocks, 1) if block.is_critical), len(blocks))
    return [agent for block in blocks[:critical] for agent in block.agents]


def _after_block(gate: GateContext, *, number: int, blocks: Sequence[Block]) -> Destination:
    block = blocks[number]
    missing = missing_of(gate, block)
    if missing is not None:
        failed = f"stage {missing.subtask!r} is critical and failed: {missing.reason}"
        return gate.end(EarlyStop(status="failed", stopped_by=missing.guard, reason=failed))
    back = sent_back(gate, block)
    if back is None:
        return _from_block(gate, number=number + 1, blocks=blocks)
    if isinstance(back, EarlyStop):
        return gate.end(back)
    target = next(place for place, one in enumerate(blocks) if one.name == back.to)
    return _from_block(gate, number=target, blocks=blocks, feedback=back.reason, sender=block)


def _from_block(
    gate: GateContext,
    *,
    number: int,
    blocks: Sequence[Block],
    feedback: str | None = None,
    sender: Block | None = None,
) -> Destination:
    """Go on to the first block from `number` on that may work. After the last one, the last value is the draft.

    A block to which `sender` sends the work back is given its own value and that of the sender, too.
    """
    for place, block in enumerate(blocks[number:], number):
        if gate.state.get("ending") is not None:
            break
        is_back = sender is not None and place == number
        context = inputs_of(gate, [*blocks[:place], block, sender] if is_back and sender else blocks[:place])
        reason = feedback if is_back else None
        sends = [  # what is sent back quotes the context, whose label counts
            (stage, gate.send(stage.agent, context=context, feedback=reason, trusted=True)) for stage in block.stages
        ]
        allowed = gate.allowed([send for _, send in sends])
        trip, sent = gate.last_trip, {send.node for send in allowed}
        needed = [{agent.name for agent in stage.agent.fallback_chain} for stage, _ in sends if stage.critical]
        if trip is not None and any(map(sent.isdisjoint, needed)):
            ending = gate.state.get("ending")
            return gate.end(ending or EarlyStop(status="degraded", stopped_by=trip.guard, reason=trip.reason))
        if allowed:
            return allowed
    values = (value_of(gate, block) for block in reversed(blocks))
    return gate.conclude(next(filter(None, values), None))
