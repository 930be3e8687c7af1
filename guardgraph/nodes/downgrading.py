"""Which cheaper model an agent uses once a part of a budget is spent."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from guardgraph.agents.agent import Agent
from guardgraph.guards import Budget, Downgrade, Guard
from guardgraph.runtime.budget.downgraded import Downgraded
from guardgraph.state import DelegationScope
from guardgraph.storage.ledger import Ledger

__all__ = ("downgraded_by", "steps_of")


def steps_of(guard: Guard) -> Mapping[float, Downgrade]:
    """Return the steps of a budget; none for any other guard."""
    return guard.at if isinstance(guard, Budget) else {}


def downgraded_by(agent: Agent, me: DelegationScope, ledger: Ledger) -> Downgraded | None:
    """Return the step of a budget that an attempt begins under: that with the cheapest of the agent's models."""
    reached = [
        Downgraded(name, part, used)
        for account, part, name in me.steps
        if name in agent.models and (used := _spent_part(ledger, account)) >= part
    ]
    return min(reached, key=lambda one: [*agent.models].index(one.model), default=None)


def _spent_part(ledger: Ledger, account: str) -> float:
    """Return the largest part of any cap of an account that is spent."""
    balances = ledger.balances(account)
    if not balances or balances[-1].account != account:
        return 0.0
    cap, spent = balances[-1].cap, balances[-1].spent
    pairs = [(getattr(cap, what), getattr(spent, what)) for what in ("tokens", "usd", "calls")]
    return max((float(Decimal(used) / Decimal(most)) for most, used in pairs if most and used is not None), default=0.0)
