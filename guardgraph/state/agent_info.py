"""Whom a guard judges."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ("AgentInfo",)


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """What a guard knows of the agent that is to work, or that has answered."""

    name: str
    """Its name, unique in its team."""
    version: str = "1"
    """Which version of it."""
    skills: frozenset[str] = frozenset()
    """What it can do."""
    chain: tuple[str, ...] = ()
    """The chain of delegation: the teams and agents above it, outermost first, and its own name."""
