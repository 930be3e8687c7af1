"""Which agent works, and where in the tree of teams."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from pydantic import AwareDatetime, Field

from guardgraph.state.allowance import Allowance
from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.side_accounts import SideBudget

__all__ = ("AgentInfo", "Delegation", "DelegationScope", "work_digest")

_ENCODER = json.JSONEncoder(sort_keys=True, default=repr, ensure_ascii=True)


class Delegation(NamedTuple):
    """A link of the chain of delegation: who works, and on what."""

    agent: str
    """The name of the team or the agent."""
    identity: str
    """A digest of what distinguishes it from others of this name."""
    work: str
    """A digest of what it is to do: see `work_digest`."""

    def __str__(self) -> str:
        """Return the link as it is stored."""
        return f"{self.agent}#{self.identity}#{self.work}"

    @classmethod
    def of(cls, stored: str) -> Delegation:
        """Return the link that was stored as this text."""
        return cls(*stored.rsplit("#", 2))


def work_digest(*facts: object, size: int = 16) -> str:
    """Return a digest of `size` bytes: the same for equal data, and for texts that differ in case and white space."""
    flat = [" ".join(fact.casefold().split()) if isinstance(fact, str) else fact for fact in facts]
    return blake2b(_ENCODER.encode(flat).encode(), digest_size=size).hexdigest()


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
    fallback_for: str | None = None
    """The agent in whose place it works, where it is a fallback."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and that of the agent in whose place it works."""
        return (self.name,) if self.fallback_for is None else (self.name, self.fallback_for)


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
    chain: tuple[str, ...] = ()
    """The chain of delegation: each team and agent above it, and itself, as a text of its `Delegation`."""
    steps: tuple[tuple[str, float, str], ...] = ()
    """Steps of budgets, its own and those above: an account, from which part of it on, and the name of a model.

    One beside the tree is named by the account of its team and its kind, as `run/=tenant@day`.
    """
    budgets: tuple[SideBudget, ...] = ()
    """The budgets beside the tree that hold here: its own, and those of the teams above it."""
    started: AwareDatetime
    """When its run began."""
