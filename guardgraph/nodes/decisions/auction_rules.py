"""The rules of an auction: who bids, how bids are scored, and how lots are awarded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Literal, TypeAlias, cast

from guardgraph.agents.agent import Agent
from guardgraph.agents.bidding import Bid, Bidder
from guardgraph.nodes.decisions.auction_log import AuctionLogs
from guardgraph.nodes.decisions.award import AwardRule
from guardgraph.state import Usage
from guardgraph.storage.reputation import Reputation

__all__ = ("AuctionRules", "CostUnit", "Score", "actual_cost", "cost_per_success", "declared_cost")

CostUnit = Literal["usd", "tokens", "calls", "seconds"]
Score: TypeAlias = Callable[[Bid, Reputation], float]
"""Returns how good a bid is, the higher the better; minus infinity refuses it."""


@dataclass(frozen=True, slots=True)
class AuctionRules:
    """The rules of one auction."""

    bidders: Mapping[str, Bidder]
    """By the names of their workers, in the order in which they were declared."""
    bidding: Mapping[str, Agent]
    """The agents that bid, by the bidders for which they do."""
    planner: Agent | None
    """Plans the lots; without one the task is the only lot."""
    score: Score
    award: AwardRule
    rounds: int
    """How often a lot is announced at most."""
    unit: CostUnit | None
    """The unit of all costs; `None` is one that nothing measures."""
    logs: AuctionLogs = field(default_factory=AuctionLogs)
    """What is known of the runs in this process."""

    def score_of(self, bid: Bid, reputation: Reputation) -> float:
        """Return the score of a bid. Raises `TypeError` for what is no number to compare by."""
        score = cast("object", self.score(bid, reputation))
        if not isinstance(score, int | float) or isinstance(score, bool) or isnan(score) or score == float("inf"):
            raise TypeError(f"`score` must return a number (minus infinity refuses a bid), got {score!r:.80}")
        return float(score)


def cost_per_success(bid: Bid, reputation: Reputation) -> float:
    """Return minus the expected cost per success: cost times learned overrun, by confidence times reliability."""
    success = bid.confidence * reputation.reliability
    return -(bid.cost * reputation.overrun) / success if success else float("-inf")


def declared_cost(worker: Agent, unit: CostUnit | None) -> float:
    """Return what a worker declares as its expected cost, in a unit; 0 where it declares nothing."""
    amount = worker.expected_amount
    return 0.0 if amount is None or unit in (None, "seconds") else float(getattr(amount, unit) or 0)


def actual_cost(usage: Usage, unit: CostUnit | None) -> float | None:
    """Return what was spent, in a unit; `None` where that is unknown."""
    if unit == "seconds":
        return usage.microseconds / 1_000_000
    if unit is None or (unit == "usd" and usage.usd is None):
        return None
    return float(getattr(usage, unit))
