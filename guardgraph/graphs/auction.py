"""Lots are announced, bidders bid, the best bids win, and what comes of them counts in later auctions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from langgraph.graph import StateGraph
from langgraph.types import Overwrite

from guardgraph.agents.agent import Agent
from guardgraph.agents.bidding import Bidder
from guardgraph.agents.skills import Skills
from guardgraph.graphs.auction_checks import checked_auction
from guardgraph.graphs.team import Team
from guardgraph.guards import Depth, Guard, Limits, Schema
from guardgraph.nodes.context import worker_roster
from guardgraph.nodes.decisions.auction_gates import announce_lots, award_what_is_bid, has_open_lots
from guardgraph.nodes.decisions.auction_log import AuctionState
from guardgraph.nodes.decisions.auction_rules import AuctionRules, CostUnit, Score, cost_per_success
from guardgraph.nodes.decisions.award import AwardRule
from guardgraph.nodes.decisions.settle_awards import review_lots
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.runtime.boards.declaration import Board

__all__ = ("auction",)


def auction(
    bidders: Sequence[Bidder | Agent],
    *,
    planner: Agent | None = None,
    score: Score = cost_per_success,
    award: AwardRule = "greedy",
    rounds: int = 3,
    unit: CostUnit | None = None,
    synthesizer: Agent | None = None,
    skills: Skills | None = None,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = 4,
    board: Board | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "auction",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a contract net as an uncompiled graph: announce lots, bid, award, work, settle.

    The task is the only lot, or the subtasks of the planner's one `Plan` are the lots. Each bidder is asked at most
    once in an announcement, for all lots that it can do by its skills, and bids for those that it wants. The bid with
    the highest `score` wins, `greedy` or by `regret`, and no bidder is awarded more load than its capacity. A lot at
    which its winner has failed is announced again to the others, `rounds` times in all; one without a bid is a gap.
    `score` is called with a bid and the reputation of its bidder; by default it is minus the expected cost per success.
    `unit` is that of all costs: the actual cost then counts in the reputation. The value is the answer of the winner,
    that of the synthesizer, or the list of accepted results. The channel `log` has all messages. `guards=None` means
    `Depth()`, `Limits()` and `Schema()`; `[]` means none. `reviewers` give opinions where guards name them. Raises
    `BadGraph` for what does not fit together.
    """
    rules = checked_auction(bidders, planner=planner, score=score, award=award, rounds=rounds, unit=unit, skills=skills)
    workers, bidding = [one.worker for one in rules.bidders.values()], [*rules.bidding.values()]
    planners = [] if rules.planner is None else [rules.planner]
    team = Team(
        name, guards=guards, default_guards=(Depth(), Limits(), Schema()), entry=partial(_begin, rules=rules),
        destinations=planners or ["dispatch"], author=synthesizer, concurrency=concurrency, state=AuctionState,
        board=board, reviewers=reviewers,
    )  # fmt: skip
    team.add_agents(planners, gate="dispatch", channel="plans", context=worker_roster(workers))
    conclude = partial(_conclude, rules=rules)
    decide = partial(announce_lots, rules=rules)
    team.add_gate("dispatch", decide, agents=planners, route=conclude, destinations=[*bidding, *workers])
    if bidding:
        decide = partial(award_what_is_bid, rules=rules)
        team.add_agents(bidding, gate="dispatch_award", channel="plans")
        team.add_gate(
            "dispatch_award", decide, agents=bidding, route=partial(_go_on, rules=rules),
            destinations=["dispatch", *workers],
        )  # fmt: skip
    team.add_agents(workers, gate="handoff", can_rewrite=planner is None and synthesizer is None)
    decide = partial(review_lots, rules=rules)
    team.add_gate("handoff", decide, agents=workers, route=partial(_go_on, rules=rules), destinations=["dispatch"])
    return team.expect(rounds=1, requests=(1, 1) if planner is None else None, repeats=rounds).build()


def _begin(gate: GateContext, *, rules: AuctionRules) -> Destination:
    gate.write_unchecked(log=Overwrite([]))
    if rules.planner is not None:
        return gate.send(rules.planner)
    gate.needs_no_budget = True  # nothing is sent yet
    return "dispatch"


def _go_on(gate: GateContext, *, rules: AuctionRules) -> Destination:
    return "dispatch" if has_open_lots(gate, rules) else _conclude(gate, rules=rules)


def _conclude(gate: GateContext, *, rules: AuctionRules) -> Destination:
    """End the run: with the answer of the winner where the task was the only lot."""
    gaps = gate.gaps
    if gaps and not gate.state.get("results") and gate.state.get("plan") is not None:
        reason = gaps[0].reason
        if not any(gap.guard for gap in gaps):
            return gate.stop("failed", by="bids", reason=reason)
    if rules.planner is None and gate.team.author is None and gate.accepted:
        return gate.conclude(gate.accepted[-1])
    return gate.conclude()
