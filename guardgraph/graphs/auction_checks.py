"""The checks of what an auction is given, and the rules that are made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from guardgraph.agents.agent import Agent
from guardgraph.agents.bidding import Bidder
from guardgraph.agents.defaults import with_defaults
from guardgraph.agents.skills import Skills
from guardgraph.nodes.decisions.auction_rules import AuctionRules, CostUnit, Score
from guardgraph.nodes.decisions.award import AwardRule
from guardgraph.state import BadGraph, Plan
from guardgraph.state.argument_checks import must_be

__all__ = ("checked_auction",)

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


def checked_auction(
    bidders: Sequence[Bidder | Agent],
    *,
    planner: Agent | None,
    score: Score,
    award: AwardRule,
    rounds: int,
    unit: CostUnit | None,
    skills: Skills | None,
) -> AuctionRules:
    """Return the rules of an auction; raises `BadGraph` for arguments that do not fit together."""
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
    return bidder if skills is None else replace(bidder, worker=skills.expanded(bidder.worker))


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
