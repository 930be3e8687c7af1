"""The accounts of one run between the database and the memory of the process that works on it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, and_, select

from guardgraph.state import Allowance, account_chain
from guardgraph.storage.memory import Account
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.ledger.rows import balance_of, cap_row, key_of, nanos_of, reserved_in, usage_of, usd_of
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.tables import accounts, entries

__all__ = ("load_accounts", "stored_account")


def load_accounts(
    engine: Engine, run_id: str, *, tenant: str
) -> tuple[dict[str, Account], dict[str, Account], set[bytes]]:
    """Return the accounts of a run by name, those that hold open entries by the entry, and the keys of all entries."""
    mine = and_(accounts.c.tenant == tenant, accounts.c.run_id == checked_id("run_id", run_id))
    held = and_(entries.c.tenant == tenant, entries.c.run_id == run_id)
    with read_transaction(migrate(engine)) as connection:
        rows = {
            bytes(row.name).decode("utf-8", "surrogatepass"): row
            for row in connection.execute(select(accounts).where(mine))
        }
        known = {bytes(key) for key in connection.execute(select(entries.c.entry).where(held)).scalars()}
        open_rows = connection.execute(select(entries).where(held, entries.c.settled.is_(False))).all()
    found: dict[str, Account] = {}
    for name in sorted(rows, key=lambda name: len(account_chain(name))):
        above = tuple(found[one] for one in account_chain(name)[:-1])
        found[name] = _account_of(name, above, rows[name])
    for name, account in found.items():
        if rows[name].side is not None:
            _read_side(account, json.loads(bytes(rows[name].side)), found)
    by_key = {key_of(tenant, name): account for name, account in found.items()}
    holders: dict[str, Account] = {}
    for row in open_rows:
        entry, holder = bytes(row.name).decode("utf-8", "surrogatepass"), by_key[bytes(row.account)]
        holder.entries[entry], holders[entry] = reserved_in(row), holder
    return found, holders, known


def stored_account(tenant: str, account: Account) -> dict[str, Any]:
    """Return the row of an account."""
    spent, reserved = account.spent, account.reserved
    return {
        "account": key_of(tenant, account.name),
        "tenant": tenant,
        "run_id": account_chain(account.name)[0],
        "name": account.name.encode("utf-8", "surrogatepass"),
        "epoch": account.epoch,
        "closed": account.closed,
        **cap_row(account.cap),
        "input_tokens": account.usage.input_tokens,
        "output_tokens": account.usage.output_tokens,
        "microseconds": account.usage.microseconds,
        "spent_usd": nanos_of(spent.usd) or 0,
        "spent_unpriced": int(spent.usd is None),
        "spent_calls": spent.calls,
        "spent_subtasks": spent.subtasks,
        "spent_messages": spent.messages,
        "reserved_tokens": reserved.tokens,
        "reserved_usd": nanos_of(reserved.usd) or 0,
        "reserved_unpriced": account.unpriced,
        "reserved_calls": reserved.calls,
        "reserved_subtasks": reserved.subtasks,
        "reserved_messages": reserved.messages,
        "side": _side_of(account),
    }


def _side_of(account: Account) -> bytes | None:
    """Return what an account draws on, what it is called, its alerts and notes; `None` for most."""
    notes = account.notes() if account.notes else None
    if not (account.sides or account.label or account.alerts or notes):
        return None
    draws = [side.name for side in account.sides]
    facts = {"draws": draws, "label": account.label, "kind": account.kind, "alerts": account.alerts}
    return json.dumps({**facts, **({"notes": notes} if notes else {})}).encode()


def _read_side(account: Account, side: dict[str, Any], found: dict[str, Account]) -> None:
    account.sides = tuple(found[name] for name in side["draws"] if name in found)
    account.label, account.kind = side["label"], side["kind"]
    account.alerts = {float(threshold): by for threshold, by in side["alerts"].items()}
    notes = side.get("notes")
    account.notes = None if notes is None else lambda: notes


def _account_of(name: str, above: tuple[Account, ...], row: Any) -> Account:
    balance = balance_of(name, row)
    return Account(
        name=name,
        above=above,
        cap=balance.cap if row.epoch else Allowance(),
        epoch=row.epoch,
        closed=row.closed,
        spent=balance.spent,
        reserved=replace(balance.reserved, usd=usd_of(row.reserved_usd)),
        unpriced=row.reserved_unpriced,
        usage=usage_of(row),
    )
