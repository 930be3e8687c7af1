"""Where in the tree of teams something happens."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from guardgraph.state.allowance import Allowance
from guardgraph.state.frozen_model import FrozenModel

__all__ = ("DelegationScope",)


class DelegationScope(FrozenModel):
    """Where in the tree of teams a team or an agent stands, and what it may spend there."""

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
    """What it may spend; never wider than what stands above it."""
    reserve: float = Field(default=0, ge=0, le=1)
    """The part of its allowance that is kept for concluding, from 0 to 1."""
    started: AwareDatetime
    """When its run began."""
