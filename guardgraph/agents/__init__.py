"""The declaration of an agent, and how its code is called."""

from __future__ import annotations

from guardgraph.agents.agent import Agent, AgentKind

__all__ = (
    "Agent",
    "AgentKind",
)
