"""What a team may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import ClassVar

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.downgrade import Downgrade, check_steps
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import Allowance, Amount, BadGraph, Gate, Usage, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("Budget",)

_UNKNOWN = "the price of what it needs is unknown, so money cannot be limited; limit tokens instead"


_LARGEST = Decimal("1e18")


@dataclass(frozen=True, slots=True)
class Budget(Composable):
    """Cap tokens, US dollars and model calls of the team and all teams below it.

    `reserve` (0 to 1) of it is kept for concluding. Alerts come at 50, 80 and 100 percent. Model calls are stopped
    *before* they would exceed the budget: one call may overshoot by the error of its input count, and by an output
    that could not be bounded. Money can be limited only for models whose price is known: where `usd` is set, what has
    an unknown price is not sent. An alert is emitted once per threshold, as long as the state keeps the alerts.
    Once a part of what the agents may spend (all but the reserve) is spent, a step of `at` applies to the attempts that
    begin afterwards, at every level: `{0.8: Downgrade("cheap")}`.
    """

    usd: Decimal | str | int | None = None
    tokens: int | None = None
    calls: int | None = None
    reserve: float = 0.2
    at: Mapping[float, Downgrade] = field(default_factory=dict[float, Downgrade], hash=False)
    on_trip: OnTrip = Finish()
    gates = frozenset[Gate]({"admission", "dispatch", "round"})
    alert_thresholds: ClassVar[tuple[float, ...]] = (1.0, 0.8, 0.5)

    def __post_init__(self) -> None:
        check_fields(self, "usd", "tokens", "calls", "reserve", "on_trip")
        check_steps(self.at)
        if self.usd is None and self.tokens is None and self.calls is None:
            raise BadGraph("a Budget caps something: give `usd`, `tokens` or `calls`")
        if not 0 <= self.reserve < 1:
            raise BadGraph(f"`reserve` must be from 0 to below 1, got {self.reserve!r}")
        for name, limit in (("usd", self.usd), ("tokens", self.tokens), ("calls", self.calls)):
            if limit is not None:
                _check(name, limit)

    def narrow(self, context: GuardContext) -> Allowance:
        """Return an allowance with these caps."""
        usd = None if self.usd is None else Decimal(self.usd)
        return Allowance(usd=usd, tokens=self.tokens, calls=self.calls)

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where what is left does not pay for the subject; alert when a threshold is passed."""
        wanted = context.expected_cost or Amount()
        if context.remaining.usd is not None and wanted.usd is None:
            return context.verdict(self, trips=True, limit=str(context.remaining.usd), reason=_UNKNOWN)
        lacking = _lacking(context.remaining, wanted)
        if lacking is not None:
            what, wanted, left = lacking
            reason = f"{left} {what} left, {wanted} needed" if wanted else f"no {what} left"
            return context.verdict(self, trips=True, measured=str(left), limit=str(wanted), reason=reason)
        return self._alert(context)

    def _alert(self, context: GuardContext) -> Verdict:
        used = _used(context.allowance, context.spent)
        verdict = context.verdict(self, trips=False, measured=round(float(used), 4))
        passed = next((mark for mark in self.alert_thresholds if used >= Decimal(str(mark))), None)
        known = {v.limit for v in context.state.get("verdicts") or () if v.guard == "Budget" and v.action == "alert"}
        if passed is None or any(isinstance(limit, int | float) and limit >= passed for limit in known):
            return verdict
        reason = f"{used:.0%} of the budget is spent"
        return verdict.model_copy(update={"action": "alert", "limit": passed, "reason": reason})


def _check(name: str, limit: Decimal | str | int) -> None:
    """Raise `BadGraph` for a value that cannot be a cap."""
    try:
        number = Decimal(limit)
    except InvalidOperation:
        raise BadGraph(f"`{name}` must be a number, got {limit!r}") from None
    if not number.is_finite():
        raise BadGraph(f"`{name}` must be finite, got {limit!r}; `None` sets no cap")
    if number > _LARGEST:
        raise BadGraph(f"`{name}` must be at most {_LARGEST:e}, got {limit!r}; `None` sets no cap")
    if number < 0:
        raise BadGraph(f"`{name}` must not be negative, got {limit!r}")
    if name != "usd" and number % 1:
        raise BadGraph(f"`{name}` must be a whole number, got {limit!r}")


def _lacking(left: Allowance, wanted: Amount) -> tuple[str, int | Decimal, int | Decimal] | None:
    """Return what is too little, how much is wanted, and how much is left."""
    for what in ("tokens", "usd", "calls"):
        have, want = getattr(left, what), getattr(wanted, what) or 0
        if have is not None and (have <= 0 or want > have):
            return what, want, have
    return None


def _used(allowance: Allowance, spent: Usage) -> Decimal:
    """Return the largest part of any cap that is spent; decimal, since 0.08 of 0.1 is less than 0.8 in floats."""
    parts = [Decimal(0)]
    for what in ("tokens", "usd", "calls"):
        cap, used = getattr(allowance, what), getattr(spent, what)
        if cap and used is not None:
            parts.append(Decimal(used) / Decimal(cap))
    return max(parts)
