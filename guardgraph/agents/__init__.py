"""Whom a team asks: what an agent is declared as, and how its code is called."""

from __future__ import annotations

from guardgraph.agents.agent import Agent, AgentKind

__all__ = (
    "Agent",
    "AgentKind",
)
