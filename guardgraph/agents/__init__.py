"""The declaration of an agent, and how its code is called."""

from __future__ import annotations

from guardgraph.agents.agent import Agent, AgentKind
from guardgraph.agents.bidding import Bid, Bidder, Bids, announced_lots
from guardgraph.agents.guard_middleware import GuardMiddleware
from guardgraph.agents.skills import Skills

__all__ = (
    "Agent",
    "AgentKind",
    "Bid",
    "Bidder",
    "Bids",
    "GuardMiddleware",
    "Skills",
    "announced_lots",
)
