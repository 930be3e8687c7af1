"""The table of events."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table

from guardgraph.storage.sql.tables import id_type, metadata, packed_type

__all__ = ("events",)

events = Table(
    "guardgraph_event",
    metadata,
    Column("tenant", id_type(), primary_key=True),
    Column("run_id", id_type(), primary_key=True),
    Column("upto", BigInteger, primary_key=True, autoincrement=False),
    Column("data", packed_type(), nullable=False),
    sqlite_with_rowid=False,
)
"""The events of a run that were stored in one transaction; `upto` is the number of the last of them, counted from 1.
`data` begins with the digest of the row."""
