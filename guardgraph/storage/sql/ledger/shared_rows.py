"""Rows of accounts that runs share, as pure functions. Money is in whole nano-dollars, as in `rows`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from guardgraph.state import (
    COUNTS,
    Allowance,
    Amount,
    Balance,
    Per,
    Period,
    SideAccount,
    StorageCorrupt,
    Usage,
    Window,
    full_usage,
    period_at,
    validation_text,
)
from guardgraph.storage.sql.ledger.rows import nanos_of, usd_of
from guardgraph.storage.sql.places import digest_of

__all__ = (
    "SharedPlace",
    "account_row",
    "alerts_of",
    "cap_of",
    "effective_cap",
    "entry_row",
    "held_by",
    "in_microseconds",
    "moment_of",
    "owner_of",
    "reserved_in",
    "settling",
    "shared_balance",
    "span_of",
    "sums_of",
    "window_of",
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALERTS = TypeAdapter(dict[float, str])
_SUMS = [f"{kind}_{what}" for kind in ("spent", "reserved") for what in ("tokens", "usd", "unpriced", "calls")]


class SharedPlace(NamedTuple):
    """A shared account in one period."""

    key: bytes
    """The key of its row."""
    owner: bytes
    """The key of what it counts together, the same in every period."""
    side: SideAccount
    period: Period | None
    thread_id: str | None
    """The thread with which it is deleted; `None` for that of a tenant."""
    label: str
    """What it is called in a message."""

    @classmethod
    def of(cls, side: SideAccount, now: datetime, *, tenant: str, thread_id: str) -> SharedPlace:
        """Return the place in which an account of a run counts at this moment."""
        thread = None if side.per == "tenant" else thread_id
        owner = owner_of(tenant, side.per, thread, side.window, "" if side.per in ("tenant", "thread") else side.name)
        period = None if side.window is None else period_at(side.window, now)
        key = owner if period is None else digest_of(owner, str(in_microseconds(period.start)))
        who = tenant if side.per == "tenant" else thread_id if side.per == "thread" else side.who
        return cls(key, owner, side, period, thread, side.label(who=who, period=period))


def owner_of(tenant: str, per: Per, thread_id: str | None, window: Window | None, name: str = "") -> bytes:
    """Return the key of what is counted together in every period; that within a run has the `name` of its account."""
    return digest_of(tenant, per, thread_id, span_of(window), name)


def span_of(window: Window | None) -> str:
    """Return a window as it is stored."""
    return "" if window is None else str(window)


def window_of(span: str) -> Window | None:
    """Return the window of a stored span."""
    return int(span) if span.isdigit() else span or None  # type: ignore[return-value] -- as it was declared


def in_microseconds(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds: int) -> datetime:
    """Return the moment that is so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def account_row(place: SharedPlace, tenant: str) -> dict[str, Any]:
    """Return the row of an account in which nothing is spent."""
    period = place.period
    return {
        "account": place.key,
        "owner": place.owner,
        "tenant": tenant,
        "thread_id": place.thread_id,
        "per": place.side.per,
        "label": place.label.encode("utf-8", "surrogatepass"),
        "span": span_of(place.side.window),
        "starts": 0 if period is None else in_microseconds(period.start),
        "ends": 0 if period is None else in_microseconds(period.end),
        "declared": place.side.cap.model_dump_json().encode(),
        "alerts": b"{}",
        **dict.fromkeys(_SUMS, 0),
    }


def effective_cap(declared: Allowance, operator: Allowance | None) -> Allowance:
    """Return the cap that holds: each limit that an operator has set replaces the declared one."""
    if operator is None:
        return declared
    given = {what: limit for what in COUNTS if (limit := getattr(operator, what)) is not None}
    return declared.model_copy(update=given)


def shared_balance(place: SharedPlace, row: Any, operator_cap: Allowance | None) -> Balance:
    """Return the balance of an account, which may have no row yet; an operator's cap replaces the declared one."""
    side, cap = place.side, effective_cap(place.side.cap, operator_cap)
    if row is None:
        return Balance(side.name, cap, Amount(), Amount(), place.label, 0.0, side.kind, place.key)
    alerted = max(alerts_of(row), default=0.0)
    spent, reserved = sums_of(row, "spent"), sums_of(row, "reserved")
    return Balance(side.name, cap, spent, reserved, place.label, alerted, side.kind, place.key)


def alerts_of(row: Any) -> dict[float, str]:
    """Return who has emitted the alert of each threshold. Raises `StorageCorrupt` where that cannot be read."""
    try:
        return _ALERTS.validate_json(bytes(row.alerts))
    except ValidationError as error:
        label = bytes(row.label).decode("utf-8", "replace")
        raise StorageCorrupt(f"the alerts of the budget of {label} are damaged: {validation_text(error)}") from error


def cap_of(stored: bytes) -> Allowance:
    """Return a cap as it is stored. Raises `StorageCorrupt` where it is none."""
    try:
        return Allowance.model_validate_json(stored)
    except ValidationError as error:
        text = validation_text(error)
        raise StorageCorrupt(f"a cap of a budget is damaged: {text}; set it anew", column="cap") from error


def entry_row(place: SharedPlace, entry: bytes, amount: Amount, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an open reservation; `facts` are those of the run."""
    held = {"tokens": amount.tokens, "usd": nanos_of(amount.usd), "calls": amount.calls}
    return {"account": place.key, "entry": entry, **held, **facts}


def reserved_in(row: Any) -> Amount:
    """Return what an entry's row has reserved."""
    return Amount(row.tokens, usd_of(row.usd), row.calls)


def held_by(amount: Amount) -> dict[str, int]:
    """Return what a reservation adds to the sums of its accounts."""
    return {
        "reserved_tokens": amount.tokens,
        "reserved_usd": nanos_of(amount.usd) or 0,
        "reserved_unpriced": int(amount.usd is None),
        "reserved_calls": amount.calls,
    }


def settling(usage: Usage | None, amount: Amount | None) -> dict[str, int]:
    """Return what settling a reservation adds to the sums; without an `amount`, what was spent without one adds."""
    used = full_usage(amount or Amount()) if usage is None else usage
    return {
        **({} if amount is None else {name: -value for name, value in held_by(amount).items()}),
        "spent_tokens": used.tokens,
        "spent_usd": nanos_of(used.usd) or 0,
        "spent_unpriced": int(used.usd is None),
        "spent_calls": used.calls,
    }


def sums_of(row: Any, kind: str) -> Amount:
    """Return what is `spent` or `reserved` in the row of an account."""
    tokens, usd, unpriced, calls = (getattr(row, f"{kind}_{what}") for what in ("tokens", "usd", "unpriced", "calls"))
    return Amount(tokens, None if unpriced else usd_of(usd), calls)
