"""The tables of the checkpointer. Everything that may come from a model is binary; only ids are text.

A *line* is one namespace of one thread. Its key is a digest of both, so that rows stay small, a namespace may be
long, and no query is needed to find it. A channel's value is stored once for each version.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.dialects.mysql import VARBINARY as MYSQL_VARBINARY
from sqlalchemy.types import TypeEngine

__all__ = (
    "ID_LENGTH",
    "checkpoints",
    "identifier_type",
    "key_type",
    "lines",
    "metadata",
    "packed_type",
    "values",
    "writes",
)

ID_LENGTH = 255
"""The longest thread, checkpoint, task or run id, in characters."""

metadata = MetaData()
"""Every table of guardgraph; other modules add theirs here."""


def identifier_type() -> TypeEngine[str]:
    """Return text that sorts by its bytes everywhere: checkpoint ids are ordered, and a locale would reorder them."""
    text = String(ID_LENGTH)
    return text.with_variant(String(ID_LENGTH, collation="C"), "postgresql").with_variant(
        String(ID_LENGTH, collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def key_type() -> TypeEngine[bytes]:
    """Return the type of a digest that names a row."""
    return LargeBinary(16).with_variant(MYSQL_VARBINARY(16), "mysql", "mariadb")


def packed_type() -> TypeEngine[bytes]:
    """Return the type of values as bytes, of any length."""
    return LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


lines = Table(
    "guardgraph_line",
    metadata,
    Column("line", key_type(), primary_key=True),
    Column("thread_id", identifier_type(), nullable=False),
    Column("checkpoint_ns", Text, nullable=False),
    Index("guardgraph_line_thread", "thread_id"),
)

checkpoints = Table(
    "guardgraph_checkpoint",
    metadata,
    Column("line", key_type(), primary_key=True),
    Column("checkpoint_id", identifier_type(), primary_key=True),
    Column("parent_id", identifier_type()),
    Column("run_id", identifier_type()),
    Column("body", packed_type(), nullable=False),
    Column("metadata", packed_type(), nullable=False),
    Index("guardgraph_checkpoint_run", "run_id"),
)

values = Table(
    "guardgraph_value",
    metadata,
    Column("line", key_type(), primary_key=True),
    Column("value", key_type(), primary_key=True),
    Column("data", packed_type(), nullable=False),
)

writes = Table(
    "guardgraph_write",
    metadata,
    Column("line", key_type(), primary_key=True),
    Column("checkpoint_id", identifier_type(), primary_key=True),
    Column("task_id", identifier_type(), primary_key=True),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("task_path", packed_type(), nullable=False),
    Column("channel", packed_type(), nullable=False),
    Column("data", packed_type(), nullable=False),
)
