"""What a team may spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal, cast, get_args

from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.declared_prices import check_prices
from guardgraph.guards.downgrade import Downgrade, check_steps
from guardgraph.guards.on_trip import Finish, OnTrip
from guardgraph.state import (
    Allowance,
    Amount,
    BadGraph,
    Balance,
    Gate,
    Per,
    Price,
    SideBudget,
    Usage,
    Verdict,
    Window,
    tightest_label,
)
from guardgraph.state.accounts import amount_text
from guardgraph.state.argument_checks import LARGEST, check_fields, shown

__all__ = ("Budget",)

_UNKNOWN = "the price of what it needs is unknown, so money cannot be limited; limit tokens instead"
_WINDOWS = ("minute", "hour", "day", "month")
_LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Budget(Composable):
    """Cap tokens, US dollars and model calls of the team and all teams below it.

    `per` is what is counted together: the `run` of the team, all attempts of one `agent` in it (also in teams below),
    all attempts at one `task` (a subtask; the task as a whole is one more), all runs of the `thread` or the `tenant`.
    A `window` (`minute`, `hour`, `day`, `month`, or a timedelta) counts each period by itself: calendar windows in UTC,
    a timedelta from 1970 on. `thread`, `tenant` and every window are counted in the database of a `Runner`, over all
    runs and processes whose teams declare them; without one the input is refused with `BadInput`.

    `reserve` (0 to 1) of a budget per run without a window is kept for concluding; others have none. Alerts come at
    50, 80 and 100 percent, once per threshold, account and period. Model calls are stopped *before* they would exceed
    the budget: one call may overshoot by the error of its input count, and by an output that could not be bounded.
    Money can be limited only for models whose price is known: from the table of the installed package, or from
    `prices`, which come first: `{"my-model": Price(input="0.25", output="2")}`. A name is that of a model, of
    `provider:model`, or `provider:*` for all others of a provider, as LangChain names them. They hold in this team and
    in all below it, and before those that teams below declare. Where `usd` is set, a team with a model agent without a
    price is a `BadGraph`, and at run time a call without one is not made.

    Once a part of what the agents may spend (all but the reserve) is spent, a step of `at` applies to the attempts that
    begin afterwards, at every level: `{0.8: Downgrade("cheap")}`.
    """

    usd: Decimal | str | int | None = None
    tokens: int | None = None
    calls: int | None = None
    reserve: float = 0.2
    at: Mapping[float, Downgrade] = field(default_factory=dict[float, Downgrade], hash=False)
    on_trip: OnTrip = Finish()
    per: Per = "run"
    window: Literal["minute", "hour", "day", "month"] | timedelta | None = None
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price], hash=False)
    gates = frozenset[Gate]({"admission", "dispatch", "round"})
    alert_thresholds: ClassVar[tuple[float, ...]] = (1.0, 0.8, 0.5)

    def __post_init__(self) -> None:
        if isinstance(cast("object", self.usd), float):
            text = f"{Decimal(repr(self.usd)):f}"
            raise BadGraph(
                f"Budget: `usd` must not be a float, got {self.usd!r}, which is not exact: write usd={text!r}"
            )
        check_fields(self, "usd", "tokens", "calls", "reserve", "on_trip")
        check_steps(self.at)
        check_prices(self.prices)
        _check_account(self.per, self.window)
        if self.usd is None and self.tokens is None and self.calls is None:
            raise BadGraph("a Budget caps something: give `usd`, `tokens` or `calls`")
        if not 0 <= self.reserve < 1:
            raise BadGraph(f"`reserve` must be from 0 to below 1, got {self.reserve!r}")
        for name, limit in (("usd", self.usd), ("tokens", self.tokens), ("calls", self.calls)):
            if limit is not None:
                _check(name, limit)

    def narrow(self, context: GuardContext) -> Allowance:
        """Return an allowance with these caps, where it is counted in the tree of the run."""
        return self.cap if self._kind == "run" else Allowance()

    def side_budget(self, account: str) -> SideBudget | None:
        """Return what it caps beside the tree of the run; `None` where it is counted in the tree."""
        if self._kind == "run":
            return None
        return SideBudget(per=self.per, window=self._span, cap=self.cap, account=account)

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip where what is left does not pay for the subject; alert when a threshold is passed."""
        wanted = context.expected_cost or Amount()
        if context.remaining.usd is not None and wanted.usd is None:
            return context.verdict(self, trips=True, limit=str(context.remaining.usd), reason=_UNKNOWN)
        lacking = _lacking(context.remaining, wanted)
        if lacking is not None:
            what, wanted, left = lacking
            whose = tightest_label(context.balances, what)
            needed = f"{amount_text(left)} {what} left{whose}, {amount_text(wanted)} needed"
            reason = needed if wanted else f"no {what} left{whose}"
            return context.verdict(self, trips=True, measured=str(left), limit=str(wanted), reason=reason)
        return self.alert(context)

    def alert(self, context: GuardContext) -> Verdict:
        """Return an alert of the first of its accounts that has passed a threshold of which none was emitted."""
        parts = [(_used(b.cap, b.spent), b) for b in context.balances if b.kind == self._kind]
        if self._kind == "run":
            own = next((b for b in context.balances if b.account == context.account), None)
            parts = [(_used(context.allowance, context.spent), own)]
        verdict = context.verdict(
            self, trips=False, measured=round(float(max((used for used, _ in parts), default=0)), 4)
        )
        for used, balance in parts:
            passed = next((mark for mark in self.alert_thresholds if used >= Decimal(str(mark))), None)
            if passed is not None and passed > _alerted(context, balance):
                label = balance.label if balance else ""
                reason = f"{used:.0%} of {f'the budget of {label}' if label else 'the budget'} is spent"
                facts = {"action": "alert", "limit": passed, "reason": reason, "account": label}
                return verdict.model_copy(update={**facts, "measured": round(float(used), 4)})
        return verdict

    @property
    def cap(self) -> Allowance:
        """What it caps."""
        usd = None if self.usd is None else Decimal(self.usd)
        return Allowance(usd=usd, tokens=self.tokens, calls=self.calls)

    @property
    def _span(self) -> Window | None:
        return int(self.window.total_seconds()) if isinstance(self.window, timedelta) else self.window

    @property
    def _kind(self) -> str:
        """What it counts together and in which window, as `Balance.kind` has it."""
        return self.per if self.window is None else f"{self.per}@{self._span}"


def _check(name: str, limit: Decimal | str | int) -> None:
    """Raise `BadGraph` for a value that cannot be a cap."""
    try:
        number = Decimal(limit)
    except InvalidOperation:
        raise BadGraph(f"`{name}` must be a number, got {limit!r}") from None
    if not number.is_finite():
        raise BadGraph(f"`{name}` must be finite, got {limit!r}; `None` sets no cap")
    if number > LARGEST:
        raise BadGraph(f"`{name}` must be at most {LARGEST:.0e}, got {shown(limit)}; `None` sets no cap")
    if number < 0:
        raise BadGraph(f"`{name}` must not be negative, got {limit!r}")


def _lacking(left: Allowance, wanted: Amount) -> tuple[str, int | Decimal, int | Decimal] | None:
    """Return what is too little, how much is wanted, and how much is left."""
    for what in ("tokens", "usd", "calls"):
        have, want = getattr(left, what), getattr(wanted, what) or 0
        if have is not None and (have <= 0 or want > have):
            return what, want, have
    return None


def _check_account(per: object, window: object) -> None:
    """Raise `BadGraph` for an account that cannot be counted."""
    if per not in get_args(Per):
        raise BadGraph(f"`per` must be one of {', '.join(get_args(Per))}; got {per!r}")
    if isinstance(window, timedelta):
        if not timedelta(seconds=1) <= window <= _LONGEST or window % timedelta(seconds=1):
            raise BadGraph(f"`window` must be whole seconds, from 1 second to 366 days, got {window!r}")
    elif window is not None and window not in _WINDOWS:
        raise BadGraph(f"`window` must be one of {', '.join(_WINDOWS)}, or a timedelta; got {window!r}")


def _alerted(context: GuardContext, balance: Balance | None) -> float:
    """Return the highest threshold of which an alert was emitted, as the ledger and the state have it."""
    label = balance.label if balance else ""
    verdicts = [v for v in context.state.get("verdicts") or () if v.guard == "Budget" and v.action == "alert"]
    limits = [v.limit for v in verdicts if v.account == label and isinstance(v.limit, int | float)]
    return max([*limits, balance.alerted if balance else 0.0, 0.0])


def _used(allowance: Allowance, spent: Usage | Amount) -> Decimal:
    """Return the largest part of any cap that is spent; decimal, since 0.08 of 0.1 is less than 0.8 in floats."""
    parts = [Decimal(0)]
    for what in ("tokens", "usd", "calls"):
        cap, used = getattr(allowance, what), getattr(spent, what)
        if cap and used is not None:
            parts.append(Decimal(used) / Decimal(cap))
    return max(parts)
