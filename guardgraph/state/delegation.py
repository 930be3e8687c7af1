"""Which agent works, and where in the tree of teams."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import AwareDatetime, Field

from guardgraph.state.allowance import Allowance
from guardgraph.state.frozen_model import FrozenModel

__all__ = ("AgentInfo", "DelegationScope")


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
    tools: frozenset[str] = frozenset()
    """The names of its tools."""


class DelegationScope(FrozenModel):
    """The position of a team or an agent in the tree of teams, and what it may spend there."""

    run_id: str
    """The run of the outermost team."""
    account: str
    """Its account in the ledger."""
    spending_account: str
    """The account that its agents draw from; `account` less what is kept for concluding."""
    path: tuple[str, ...] = ()
    """The names of the teams and agents above it, and its own."""
    depth: int = Field(default=0, ge=0)
    """0 for the first team."""
    allowance: Allowance = Allowance()
    """What it may spend; never more than what is left to the team above it."""
    reserve: float = Field(default=0, ge=0, le=1)
    """The part of its allowance that is kept for concluding, from 0 to 1."""
    trusted: bool = False
    """Its integrity label: whether all that it was given is trusted. It is never higher than that of the team above."""
    started: AwareDatetime
    """When its run began."""
