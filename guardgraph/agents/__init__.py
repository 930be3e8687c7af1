"""The declaration of an agent, and how its code is called."""

from __future__ import annotations

from guardgraph.agents.agent import Agent, AgentKind
from guardgraph.agents.bidding import Bid, Bidder, Bids, announced_lots
from guardgraph.agents.guard_middleware import GuardMiddleware
from guardgraph.agents.skills import Skills
from guardgraph.runtime.rates.backoff import Backoff
from guardgraph.runtime.rates.rate_limit import RateLimit

__all__ = (
    "Agent",
    "AgentKind",
    "Backoff",
    "Bid",
    "Bidder",
    "Bids",
    "GuardMiddleware",
    "RateLimit",
    "Skills",
    "announced_lots",
)
