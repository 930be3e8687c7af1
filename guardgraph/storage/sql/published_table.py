"""The tables of published events."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table

from guardgraph.storage.sql.tables import id_type, key_type, metadata, packed_type

__all__ = ("published", "published_read")

published = Table(
    "guardgraph_published",
    metadata,
    Column("tenant", id_type(), primary_key=True),
    Column("thread_id", id_type(), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("name", key_type(), nullable=False),
    Column("data", packed_type(), nullable=False),
    Index("guardgraph_published_name", "name", unique=True),
)
"""The events that were published to a thread; `number` is counted from 1 without gaps. `name` is the digest of tenant,
thread, source and id, so that nothing is stored twice. `data` begins with the digest of the row."""

published_read = Table(
    "guardgraph_published_read",
    metadata,
    Column("tenant", id_type(), primary_key=True),
    Column("thread_id", id_type(), primary_key=True),
    Column("number", BigInteger, nullable=False),
)
"""Up to which number the log of a thread has its events, as it was noted when a process stopped working on it. It only
spares a look at the thread: the state of the thread counts."""
