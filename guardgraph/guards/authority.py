"""A limit on what agents commit themselves to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.state import BadGraph, Gate, Result, Verdict
from guardgraph.state.argument_checks import check_fields, shown

__all__ = ("Authority",)


@dataclass(frozen=True, slots=True)
class Authority(Composable):
    """Refuse an answer whose messages commit its agent to more than it may.

    `limits` has the most that each agent may commit itself to in one answer, by unit: `{"sales": {"usd": 500}}`; an
    agent or a unit that it does not name may commit to nothing; infinity sets no limit. What is refused is not sent.
    """

    limits: Mapping[str, Mapping[str, Decimal | float | str]] = field(default_factory=dict[str, Any], hash=False)
    on_trip: OnTrip = Retry(1)
    gates = frozenset[Gate]({"handoff"})

    def __post_init__(self) -> None:
        check_fields(self)
        exact = {
            agent: MappingProxyType({unit: _checked(agent, unit, most) for unit, most in units.items()})
            for agent, units in self.limits.items()
        }
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
        over = next(((unit, amount) for unit, amount in total.items() if amount > Decimal(allowed.get(unit, 0))), None)
        if over is None:
            return context.verdict(self, trips=False)
        unit, amount = over
        most = Decimal(allowed.get(unit, 0))
        reason = f"{agent!r} commits to {amount} {unit}; its authority is {most}"
        return context.verdict(self, trips=True, measured=str(amount), limit=str(most), reason=reason)


def _checked(agent: str, unit: str, most: Decimal | float | str) -> Decimal:
    """Return a limit as it is compared. Raises `BadGraph` for what is no number of at least 0."""
    try:
        exact = Decimal(str(most))
    except InvalidOperation:
        exact = Decimal("NaN")
    if exact.is_nan() or exact < 0:
        raise BadGraph(f"Authority: `limits[{agent!r}][{unit!r}]` must be at least 0, got {shown(most)}")
    return exact
