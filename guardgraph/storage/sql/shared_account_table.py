"""The tables of accounts that runs and processes share, and of the caps that operators have set."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from guardgraph.storage.sql.tables import id_type, key_type, metadata, packed_type

__all__ = ("operator_caps", "shared_accounts", "shared_entries")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


shared_accounts = Table(
    "guardgraph_shared_account",
    metadata,
    Column("account", key_type(), primary_key=True),
    Column("owner", key_type(), nullable=False),
    Column("tenant", id_type(), nullable=False),
    Column("thread_id", id_type()),
    Column("per", id_type(), nullable=False),
    Column("label", packed_type(), nullable=False),
    Column("span", id_type(), nullable=False),
    _count("starts"),
    _count("ends"),
    Column("declared", packed_type(), nullable=False),
    Column("alerts", packed_type(), nullable=False),
    _count("spent_tokens"),
    _count("spent_usd"),
    _count("spent_unpriced"),
    _count("spent_calls"),
    _count("reserved_tokens"),
    _count("reserved_usd"),
    _count("reserved_unpriced"),
    _count("reserved_calls"),
    Index("guardgraph_shared_account_owner", "owner", "starts"),
    Index("guardgraph_shared_account_tenant", "tenant", "thread_id"),
)
"""`account` is a digest of the tenant, of what is counted together, and of the period; `owner` is the same without the
period. `span` is the window as it is declared: empty, `day`, or a number of seconds. `starts` and `ends` are in
microseconds since 1970, UTC, and 0 without a window. `declared` is the cap that was declared last."""

shared_entries = Table(
    "guardgraph_shared_entry",
    metadata,
    Column("account", key_type(), primary_key=True),
    Column("entry", key_type(), primary_key=True),
    Column("tenant", id_type(), nullable=False),
    Column("run_id", id_type(), nullable=False),
    Column("thread_id", id_type(), nullable=False),
    _count("lease"),
    _count("tokens"),
    Column("usd", BigInteger),
    _count("calls"),
    Index("guardgraph_shared_entry_run", "tenant", "run_id"),
)
"""Open reservations; a row is deleted when it is settled. `lease` is the epoch of the lease under which it was made: it
is that of a dead process once the lease is another one, or has run out. `usd` is null where the price is unknown."""

operator_caps = Table(
    "guardgraph_operator_cap",
    metadata,
    Column("owner", key_type(), primary_key=True),
    Column("tenant", id_type(), nullable=False),
    Column("thread_id", id_type()),
    Column("span", id_type(), nullable=False),
    Column("cap", packed_type(), nullable=False),
    _count("since"),
    Index("guardgraph_operator_cap_tenant", "tenant", "thread_id"),
)
"""What replaces the declared caps of a tenant's (without a `thread_id`) or a thread's account, in every period."""
