"""Rows of the ledger and changes of rows, as pure functions.

Money is stored in whole nano-dollars (10^-9 US dollars): what is spent or reserved is rounded up, a cap down.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from sqlalchemy import Update, update

from guardgraph.state import Allowance, Amount, BadInput, Balance, Usage, account_chain, exact_decimal, full_usage
from guardgraph.storage.sql.places import checked_id, digest_of
from guardgraph.storage.sql.tables import accounts

__all__ = (
    "LARGEST",
    "Changes",
    "account_row",
    "balance_of",
    "cap_row",
    "changed",
    "entry_row",
    "held_by",
    "in_nanos",
    "key_of",
    "keys_of",
    "nanos_of",
    "reserved_in",
    "settled_row",
    "settling",
    "usage_in_nanos",
    "usage_of",
    "usd_of",
)

LARGEST = 2**53
"""The largest number that one entry holds: of tokens, or of nano-dollars (nine million dollars)."""

Changes = dict[str, int]
"""What is added to the numbers of an account, by column."""

_LARGEST_CAP = 2**62
_SUMS = tuple(column.name for column in accounts.columns if column.name.startswith(("spent_", "reserved_")))
_NUMBERS = ("input_tokens", "output_tokens", "microseconds", *_SUMS)


def key_of(tenant: str, name: str) -> bytes:
    """Return the key of a tenant's account or entry, whatever its name is long and holds."""
    return digest_of(tenant, name)


def keys_of(tenant: str, account: str) -> list[bytes]:
    """Return the keys of `account` and the accounts above it, outermost first."""
    return [key_of(tenant, name) for name in account_chain(account)]


def in_nanos(amount: Amount) -> Amount:
    """Return `amount` with its money rounded up to a whole nano-dollar: what is reserved in fact."""
    return Amount(amount.tokens, usd_of(nanos_of(amount.usd)), amount.calls, amount.subtasks, amount.messages)


def account_row(tenant: str, account: str) -> dict[str, Any]:
    """Return the row of an account that was never opened: without limits, and refusing everything."""
    run_id = checked_id("run_id", account_chain(account)[0])
    facts = {"account": key_of(tenant, account), "tenant": tenant, "run_id": run_id, "name": _packed(account)}
    return {**facts, "epoch": 0, "closed": True, **cap_row(Allowance()), **dict.fromkeys(_NUMBERS, 0), "side": None}


def usage_in_nanos(usage: Usage) -> Usage:
    """Return a usage with its money rounded up to a whole nano-dollar."""
    usd = usd_of(nanos_of(usage.usd))
    return usage if usd == usage.usd else usage.model_copy(update={"usd": usd})


@exact_decimal
def cap_row(cap: Allowance) -> dict[str, Any]:
    """Return the columns of an account's limits: all of them as JSON, and the counted ones as numbers."""
    numbers = {f"cap_{what}": getattr(cap, what) for what in ("tokens", "calls", "subtasks", "messages")}
    numbers["cap_usd"] = None if cap.usd is None else int(cap.usd.scaleb(9).to_integral_value(ROUND_FLOOR))
    least = {name: value if value is None else min(value, _LARGEST_CAP) for name, value in numbers.items()}
    return {"cap": cap.model_dump_json().encode(), **least}


def entry_row(tenant: str, entry: str, account: str, amount: Amount) -> dict[str, Any]:
    """Return the row of an open reservation."""
    return {
        "entry": key_of(tenant, entry),
        "tenant": tenant,
        "name": _packed(entry),
        "account": key_of(tenant, account),
        "run_id": account_chain(account)[0],
        "settled": False,
        "in_full": False,
        "tokens": _checked("tokens", amount.tokens),
        "usd": nanos_of(amount.usd),
        "calls": _checked("calls", amount.calls),
        "subtasks": _checked("subtasks", amount.subtasks),
        "messages": _checked("messages", amount.messages),
    }


def settled_row(usage: Usage | None, amount: Amount) -> dict[str, Any]:
    """Return the columns of an entry that change when it is settled."""
    used = full_usage(amount) if usage is None else usage
    return {
        "settled": True,
        "in_full": usage is None,
        "input_tokens": _checked("input_tokens", used.input_tokens),
        "output_tokens": _checked("output_tokens", used.output_tokens),
        "used_usd": nanos_of(used.usd),
        "used_calls": _checked("calls", used.calls),
        "microseconds": _checked("microseconds", used.microseconds),
    }


def reserved_in(row: Any) -> Amount:
    """Return what an entry's row had reserved."""
    return Amount(row.tokens, usd_of(row.usd), row.calls, row.subtasks, row.messages)


def held_by(amount: Amount) -> Changes:
    """Return what a reservation changes in its account and every account above."""
    return {
        "reserved_tokens": amount.tokens,
        "reserved_usd": nanos_of(amount.usd) or 0,
        "reserved_unpriced": int(amount.usd is None),
        "reserved_calls": amount.calls,
        "reserved_subtasks": amount.subtasks,
        "reserved_messages": amount.messages,
    }


def settling(usage: Usage | None, amount: Amount) -> Changes:
    """Return what settling a reservation changes in its account and every account above."""
    used = full_usage(amount) if usage is None else usage
    freed = {name: -value for name, value in held_by(amount).items()}
    return freed | {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "microseconds": used.microseconds,
        "spent_usd": nanos_of(used.usd) or 0,
        "spent_unpriced": int(used.usd is None),
        "spent_calls": used.calls,
        "spent_subtasks": amount.subtasks,
        "spent_messages": amount.messages,
    }


def changed(keys: Iterable[bytes], changes: Changes) -> Update:
    """Add `changes` to the numbers of these accounts, in the database."""
    sums = {name: accounts.c[name] + value for name, value in changes.items()}
    return update(accounts).where(accounts.c.account.in_(list(keys))).values(sums)


def balance_of(name: str, row: Any) -> Balance:
    """Return the balance that an account's row holds."""
    return Balance(
        account=name,
        cap=Allowance.model_validate_json(bytes(row.cap)),
        spent=Amount(
            tokens=row.input_tokens + row.output_tokens,
            usd=_known(row.spent_usd, row.spent_unpriced),
            calls=row.spent_calls,
            subtasks=row.spent_subtasks,
            messages=row.spent_messages,
        ),
        reserved=Amount(
            tokens=row.reserved_tokens,
            usd=_known(row.reserved_usd, row.reserved_unpriced),
            calls=row.reserved_calls,
            subtasks=row.reserved_subtasks,
            messages=row.reserved_messages,
        ),
    )


def usage_of(row: Any) -> Usage:
    """Return what was spent in an account and below it."""
    return Usage(
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        usd=_known(row.spent_usd, row.spent_unpriced),
        calls=row.spent_calls,
        microseconds=row.microseconds,
    )


def _packed(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


@exact_decimal
def nanos_of(usd: Decimal | None) -> int | None:
    """Return US dollars as whole nano-dollars, rounded up; an unknown price stays unknown."""
    return None if usd is None else _checked("usd", int(usd.scaleb(9).to_integral_value(ROUND_CEILING)))


@exact_decimal
def usd_of(nanos: int | None) -> Decimal | None:
    """Return whole nano-dollars as US dollars; an unknown price stays unknown."""
    return None if nanos is None else Decimal(nanos) / 10**9


def _known(nanos: int, unpriced: int) -> Decimal | None:
    return None if unpriced else usd_of(nanos)


def _checked(what: str, value: int) -> int:
    if not 0 <= value <= LARGEST:
        raise BadInput(
            f"cannot reserve or settle {value} as `{what}`: an entry holds 0 to {LARGEST} (money in nano-dollars)"
        )
    return value
