"""The table of boards."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from guardgraph.storage.sql.tables import id_type, key_type, metadata, packed_type

__all__ = ("boards",)

boards = Table(
    "guardgraph_board",
    metadata,
    Column("board", key_type(), primary_key=True),
    Column("entry", key_type(), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("tenant", id_type(), nullable=False),
    Column("thread_id", id_type()),
    Column("kind", String(10), nullable=False),
    Column("request", key_type()),
    Column("data", packed_type(), nullable=False),
    Index("guardgraph_board_number", "board", "number", unique=True),
    Index("guardgraph_board_request", "board", "request", unique=True),
    Index("guardgraph_board_thread", "tenant", "thread_id"),
)
"""One row for each version of an entry. `board` is a digest of the tenant, the thread (NULL for a board that all
threads share) and the name; `entry` one of the key, `request` one of the name of the write. `data` is the version as
JSON, behind the digest of the row. The three unique keys refuse the second of two writers."""
