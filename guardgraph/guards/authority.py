"""A limit on what agents commit themselves to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.state import BadGraph, Gate, Result, Verdict

__all__ = ("Authority",)


@dataclass(frozen=True, slots=True)
class Authority(Composable):
    """Refuse an answer whose messages commit its agent to more than it may.

    `limits` has the most that each agent may commit itself to in one answer, by unit: `{"sales": {"usd": 500}}`; an
    agent or a unit that it does not name may commit to nothing. What is refused is not sent.
    """

    limits: Mapping[str, Mapping[str, Decimal | float]] = field(default_factory=dict[str, Any], hash=False)
    on_trip: OnTrip = Retry(1)
    gates = frozenset[Gate]({"handoff"})

    def __post_init__(self) -> None:
        exact: dict[str, Mapping[str, Decimal]] = {}
        for agent, units in self.limits.items():
            exact[agent] = MappingProxyType({unit: Decimal(str(most)) for unit, most in units.items()})
            low = next((unit for unit, most in exact[agent].items() if most.is_nan() or most < 0), None)
            if low is not None:
                raise BadGraph(f"Authority: a limit must be at least 0, got {units[low]!r} for {agent!r}, {low!r}")
        object.__setattr__(self, "limits", MappingProxyType(exact))

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where an answer commits its agent to too much of a unit, all its messages together."""
        result: Result = context.subject
        agent = result.fallback_for or result.agent
        total: dict[str, Decimal] = {}
        for message in result.messages:
            for unit, amount in message.commits.items():
                total[unit] = total.get(unit, Decimal(0)) + amount
        allowed = self.limits.get(agent, {})
        over = next(((unit, amount) for unit, amount in total.items() if amount > allowed.get(unit, 0)), None)
        if over is None:
            return context.verdict(self, trips=False)
        unit, amount = over
        most = Decimal(allowed.get(unit, 0))
        reason = f"{agent!r} commits to {amount} {unit}; its authority is {most}"
        return context.verdict(self, trips=True, measured=str(amount), limit=str(most), reason=reason)
