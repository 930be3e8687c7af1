"""Lots are announced, bidders bid, the best bids win, and what comes of them counts in later auctions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, get_args

from langgraph.graph import StateGraph
from langgraph.types import Overwrite

from guardgraph.agents.agent import Agent
from guardgraph.agents.bidding import Bidder
from guardgraph.agents.defaults import with_defaults
from guardgraph.agents.skills import Skills
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
from guardgraph.state import BadGraph, Plan
from guardgraph.state.argument_checks import must_be

__all__ = ("auction",)

_MOST = 1_000
"""Bidders: so many recipients an announcement may have."""
_PLANNING = """\
You split the goal into lots, which are auctioned to the workers that are listed; you do none of the work yourself.
- A subtask names as its skill one of the skills of the workers that could do it; who does it is decided by their bids.
- A worker sees its own subtask, the task as a whole, and the results of the subtasks in `depends_on`; nothing else. \
Write each goal so that it can be understood alone, and name in `depends_on` what it needs.
- You are asked once. Plan as few subtasks as are needed.\
"""
"""The instructions of a model planner that has none of its own."""


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
    name: str = "auction",
) -> StateGraph[Any, Any, Any, Any]:
    """Return a contract net as an uncompiled graph: announce lots, bid, award, work, settle.

    The task is the only lot, or the subtasks of the planner's one `Plan` are the lots. Each bidder is asked at most
    once in an announcement, for all lots that it can do by its skills, and bids for those that it wants. The bid with
    the highest `score` wins, `greedy` or by `regret`, and no bidder is awarded more load than its capacity. A lot at
    which its winner has failed is announced again to the others, `rounds` times in all; one without a bid is a gap.
    `score` is called with a bid and the reputation of its bidder; by default it is minus the expected cost per
    success. `unit` is that of all costs: the actual cost then counts in the reputation. The value is the answer of the
    winner, that of the synthesizer, or the list of accepted results. The channel `log` has all messages.
    `guards=None` means `Depth()`, `Limits()` and `Schema()`; `[]` means none. Raises `BadGraph` for what does not fit
    together.
    """
    rules = _rules(bidders, planner=planner, score=score, award=award, rounds=rounds, unit=unit, skills=skills)
    workers, bidding = [one.worker for one in rules.bidders.values()], [*rules.bidding.values()]
    planners = [] if rules.planner is None else [rules.planner]
    team = Team(
        name, guards=guards, default_guards=(Depth(), Limits(), Schema()), entry=partial(_begin, rules=rules),
        destinations=planners or ["dispatch"], author=synthesizer, concurrency=concurrency, state=AuctionState,
        board=board,
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


def _rules(
    bidders: Sequence[Bidder | Agent],
    *,
    planner: Agent | None,
    score: Score,
    award: AwardRule,
    rounds: int,
    unit: CostUnit | None,
    skills: Skills | None,
) -> AuctionRules:
    """Return the rules of an auction whose arguments were checked."""
    for argument, (value, kind) in {
        "bidders": (bidders, Sequence[Bidder | Agent]),
        "planner": (planner, Agent | None),
        "rounds": (rounds, int),
        "skills": (skills, Skills | None),
    }.items():
        must_be("auction", argument, value, kind)
    if not 1 <= len(bidders) <= _MOST:
        raise BadGraph(f"an auction needs from 1 to {_MOST:,} bidders, got {len(bidders):,}")
    if rounds < 1:
        raise BadGraph(f"`rounds` must be at least 1, got {rounds!r}")
    if not callable(score):
        raise BadGraph(f"`score` must be a function of a bid and a reputation, got {score!r:.80}")
    for argument, value, kind in (("award", award, AwardRule), ("unit", unit, CostUnit)):
        if value not in (*get_args(kind), *([None] if argument == "unit" else [])):
            raise BadGraph(f"`{argument}` must be one of {', '.join(map(repr, get_args(kind)))}, got {value!r}")
    given = [one if isinstance(one, Bidder) else Bidder(one) for one in bidders]
    complete = [_with_skills(one, skills) for one in given]
    twice = [name for name, count in Counter(one.name for one in complete).items() if count > 1]
    if twice:
        raise BadGraph(f"each worker bids once; these are there twice: {', '.join(map(repr, twice))}")
    agents = {one.name: one.bidding_agent() for one in complete}
    return AuctionRules(
        bidders={one.name: one for one in complete},
        bidding={name: agent for name, agent in agents.items() if agent is not None},
        planner=planner and with_defaults(planner, output=Plan, instructions=_PLANNING, attempts=2),
        score=score,
        award=award,
        rounds=rounds,
        unit=_unit(complete, unit),
    )


def _with_skills(bidder: Bidder, skills: Skills | None) -> Bidder:
    return bidder if skills is None else Bidder(skills.expanded(bidder.worker), bidder.bid, bidder.capacity)


def _unit(bidders: Sequence[Bidder], unit: CostUnit | None) -> CostUnit | None:
    """Return the unit of all costs: the one that is given, or else the one in which all declare their cost.

    Raises `BadGraph` where bids could not be compared.
    """
    declared = [one for one in bidders if one.bid is None]
    amounts = [one.worker.expected_amount for one in declared]
    units: tuple[CostUnit, ...] = ("usd", "tokens", "calls")
    known: list[CostUnit] = [one for one in units if all(amount and getattr(amount, one) for amount in amounts)]
    if not declared or (unit is not None and unit in known):
        return unit
    if unit is None and len(declared) == len(bidders) and (known or not any(amounts)):
        return known[0] if known else None
    names = ", ".join(repr(one.name) for one in declared)
    wanted = repr(unit) if unit else "one unit, which `unit` names"
    raise BadGraph(f"bids could not be compared: give {names} a `bid`, or an `expected_cost` in {wanted}")


def _begin(gate: GateContext, *, rules: AuctionRules) -> Destination:
    gate.write_unchecked(log=Overwrite([]))
    if rules.planner is not None:
        return gate.send(rules.planner)
    gate.needs_no_budget = True  # nothing is sent yet
    return "dispatch"


def _go_on(gate: GateContext, *, rules: AuctionRules) -> Destination:
    return "dispatch" if has_open_lots(gate) else _conclude(gate, rules=rules)


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
