"""Which cheaper model an agent uses once a part of a budget is spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from guardgraph.agents.agent import Agent
from guardgraph.guards import Budget, Downgrade, Guard, leaves
from guardgraph.runtime.budget.downgraded import Downgraded
from guardgraph.state import Balance, DelegationScope
from guardgraph.storage.ledger import Ledger

__all__ = ("account_steps", "downgraded_by", "steps_of")

_BESIDE = "/="
"""Between the account of a team and the kind of a side account; no name of an account in the tree has it."""


def steps_of(guard: Guard) -> Mapping[float, Downgrade]:
    """Return the steps of a budget; none for any other guard."""
    budgets = (one for one in leaves([guard]) if isinstance(one, Budget))
    return {part: step for one in budgets for part, step in one.at.items()}


def account_steps(guards: Iterable[Guard], *, account: str, spending: str) -> list[tuple[str, float, str]]:
    """Return the steps of the budgets of a team, as `DelegationScope.steps` has them.

    `account` is that of the team, and its agents draw from `spending`. A budget that is counted beside the tree is
    named by the account of the team and by its kind, as `run/=tenant@day`.
    """
    found = list[tuple[str, float, str]]()
    for budget in (one for one in leaves(guards) if isinstance(one, Budget)):
        side = budget.side_budget(account)
        name = spending if side is None else f"{account}{_BESIDE}{side.kind}"
        found += [(name, float(part), step.model) for part, step in budget.at.items()]
    return found


def downgraded_by(agent: Agent, me: DelegationScope, ledger: Ledger) -> Downgraded | None:
    """Return the step of a budget that an attempt begins under: that with the cheapest of the agent's models."""
    steps = [step for step in me.steps if step[2] in agent.models]
    beside = ledger.balances(me.account) if any(_BESIDE in account for account, _, _ in steps) else ()
    reached = [
        Downgraded(name, part, used)
        for account, part, name in steps
        if (used := _beside_part(beside, account) if _BESIDE in account else _tree_part(ledger, account)) >= part
    ]
    return min(reached, key=lambda one: [*agent.models].index(one.model), default=None)


def _beside_part(balances: Iterable[Balance], step: str) -> float:
    """Return the largest part that is spent of the accounts beside the tree that a step is for."""
    team, _, kind = step.rpartition(_BESIDE)
    shared = kind.partition("@")[0] in ("thread", "tenant")
    own = (one for one in balances if one.kind == kind and (shared or one.account.startswith(f"{team}{_BESIDE}")))
    return max(map(_spent_part, own), default=0.0)


def _tree_part(ledger: Ledger, account: str) -> float:
    balances = ledger.balances(account)
    return _spent_part(balances[-1]) if balances and balances[-1].account == account else 0.0


def _spent_part(balance: Balance) -> float:
    """Return the largest part of any cap of an account that is spent."""
    cap, spent = balance.cap, balance.spent
    pairs = [(getattr(cap, what), getattr(spent, what)) for what in ("tokens", "usd", "calls")]
    return max((float(Decimal(used) / Decimal(most)) for most, used in pairs if most and used is not None), default=0.0)
