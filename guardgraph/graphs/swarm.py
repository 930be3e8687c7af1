"""Peers with a state of their own send messages to each other, hand over, and negotiate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.swarm_checks import Acceptance, checked_swarm
from guardgraph.graphs.team import Team
from guardgraph.guards import Cycle, Depth, Guard, Limits, Schema
from guardgraph.nodes.decisions.exchange import begin, exchange
from guardgraph.nodes.decisions.settle import review_what_is_back
from guardgraph.nodes.decisions.swarm_state import SwarmState
from guardgraph.nodes.decisions.tie_break import use_tie_break
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state.argument_checks import must_be

__all__ = ("swarm",)


def swarm(
    peers: Sequence[Agent],
    *,
    start: Agent | Sequence[Agent] | None = None,
    acceptance: Acceptance | None = None,
    tie_breaker: Agent | Sequence[Agent] | None = None,
    proposals: int = 20,
    per_pair: int | None = 20,
    per_peer: int | None = 50,
    window: int = 8,
    distinct: int = 3,
    repeats: int = 3,
    synthesizer: Agent | None = None,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = None,
    board: Board | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "swarm",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a team as an uncompiled graph: peers work on messages to them until none is left.

    `start`, by default the first peer, is sent the task. A function sends messages as `Reply(messages=…)`; a model has
    the tools `send_message` and `hand_off` (needs the extra `agents`); an agent of LangGraph hands over as it does
    there, by `Command(goto=…, graph=Command.PARENT)`. A superstep delivers all that is pending, in one request for
    each recipient, with what it has kept as `Reply.memory`; no peer sees more. What a peer answers goes to those who
    have asked it. The value is the answer of the peer that was handed over to last, by default the first one; where
    that has not answered, it is another answer, and a gap.

    With `acceptance` the value is the content of the first proposal that is accepted: by all peers that answer, by
    more than half of them, or by the parties that are named; `propose` and `counter` are limited to `proposals`.

    Peers that only wait for each other, the same `ask` or proposal sent `repeats` times, `window` handoffs among fewer
    than `distinct` agents, and a negotiation that ends without acceptance are ended: by the `tie_breaker`, an agent
    that answers an order, a proposal or an answer; or in an order, where it is a sequence of peers: these answer one
    after the other, and the last one's answer is the value. What remains is a provisional answer, and `degraded`.

    A peer that has failed is routed around, and a gap. Messages above `per_pair`, `per_peer` (sent by it) or
    `Limits(messages=…)`, each counted once for every recipient, are not sent, and are gaps. `guards=None` means
    `Depth()`, `Cycle()`, `Limits(messages=200)` and `Schema()`. `reviewers` give opinions where guards name them.
    Raises `BadGraph` for what does not fit together.
    """
    rules = checked_swarm(
        peers=peers, start=start, acceptance=acceptance, tie_breaker=tie_breaker, proposals=proposals,
        per_pair=per_pair, per_peer=per_peer, window=window, distinct=distinct, repeats=repeats,
    )  # fmt: skip
    must_be("swarm", "synthesizer", synthesizer, Agent | None)
    team = Team(
        name, guards=guards, default_guards=(Depth(), Cycle(), Limits(messages=200), Schema()),
        entry=partial(begin, rules=rules), destinations=rules.start, author=synthesizer, concurrency=concurrency,
        state=SwarmState, board=board, reviewers=reviewers,
    )  # fmt: skip
    breaking = [] if rules.tie_breaker is None else [rules.tie_breaker]
    team.add_agents(rules.peers, gate="handoff", sends_messages=True)
    route = partial(exchange, rules=rules)
    destinations = [*rules.peers, *breaking]
    team.add_gate("handoff", review_what_is_back, agents=rules.peers, route=route, destinations=destinations)
    if breaking:
        team.add_agents(breaking, gate="handoff_tie")
        route = partial(use_tie_break, rules=rules)
        team.add_gate("handoff_tie", review_what_is_back, agents=breaking, route=route, destinations=rules.peers)
    return team.build()
