"""The tables of runs: the run itself, its accounts, and one entry for each spending.

Names of accounts and entries may hold what a model wrote (the id of a subtask), so they are stored as bytes, and the
keys are digests of them. Money is a whole number of nano-dollars.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Connection, Index, Integer, String, Table

from guardgraph.storage.sql.statements import insert_new
from guardgraph.storage.sql.tables import ID_LENGTH, identifier_type, key_type, metadata, packed_type

__all__ = ("accounts", "entries", "inserted", "runs")


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


accounts = Table(
    "guardgraph_account",
    metadata,
    Column("account", key_type(), primary_key=True),
    Column("run_id", identifier_type(), nullable=False),
    Column("name", packed_type(), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("closed", Boolean, nullable=False),
    Column("cap", packed_type(), nullable=False),
    Column("cap_tokens", BigInteger),
    Column("cap_usd", BigInteger),
    Column("cap_calls", BigInteger),
    Column("cap_subtasks", BigInteger),
    Column("cap_messages", BigInteger),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("microseconds"),
    _count("spent_usd"),
    _count("spent_unpriced"),
    _count("spent_calls"),
    _count("spent_subtasks"),
    _count("spent_messages"),
    _count("reserved_tokens"),
    _count("reserved_usd"),
    _count("reserved_unpriced"),
    _count("reserved_calls"),
    _count("reserved_subtasks"),
    _count("reserved_messages"),
    Index("guardgraph_account_run", "run_id"),
)
"""`epoch` 0 is an account that was never opened, and only stands above others. `spent_unpriced` and
`reserved_unpriced` count the spendings whose price is unknown, so that unknown is never taken for nothing."""

entries = Table(
    "guardgraph_entry",
    metadata,
    Column("entry", key_type(), primary_key=True),
    Column("name", packed_type(), nullable=False),
    Column("account", key_type(), nullable=False),
    Column("run_id", identifier_type(), nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("in_full", Boolean, nullable=False),
    _count("tokens"),
    Column("usd", BigInteger),
    _count("calls"),
    _count("subtasks"),
    _count("messages"),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("used_usd", BigInteger),
    Column("used_calls", BigInteger),
    Column("microseconds", BigInteger),
    Index("guardgraph_entry_account", "account", "settled"),
    Index("guardgraph_entry_run", "run_id"),
)
"""The first five numbers are what was reserved, the last five what was used; a missing price is unknown. `in_full`
tells that nobody reported a usage, and the reservation was taken for it."""

runs = Table(
    "guardgraph_run",
    metadata,
    Column("run_id", identifier_type(), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("thread_id", identifier_type(), nullable=False),
    Column("graph", packed_type(), nullable=False),
    Column("arguments", packed_type(), nullable=False),
    Column("task", packed_type(), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("status", String(20)),
    Column("outcome", packed_type()),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    Column("base_checkpoint", identifier_type()),
    Column("version", String(ID_LENGTH), nullable=False),
    Index("guardgraph_run_thread", "thread_id", "number"),
    Index("guardgraph_run_number", "number", unique=True),
)
"""`number` grows from run to run, whatever the clock does; no two runs share one. Times are microseconds since 1970,
UTC."""


def inserted(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Store `row`, and tell whether it is new; a row that has the same key stays as it is."""
    # Not every driver still knows the number of rows after an insert, unless SQLAlchemy is told to keep it.
    options = {"preserve_rowcount": True}
    return connection.execute(insert_new(connection.dialect, table), row, execution_options=options).rowcount == 1
