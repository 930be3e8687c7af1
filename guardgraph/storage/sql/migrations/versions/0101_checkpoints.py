"""The tables of the checkpointer.

Revision ID: 0101
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0101"
down_revision = None
branch_labels = None
depends_on = None

IDENTIFIER = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(sa.String(255, collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mariadb")
)
LONG_IDENTIFIER = (
    sa.Text()
    .with_variant(sa.Text(collation="C"), "postgresql")
    .with_variant(sa.Text(collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(sa.Text(collation="utf8mb4_nopad_bin"), "mariadb")
)
KEY = sa.LargeBinary(16).with_variant(VARBINARY(16), "mysql", "mariadb")
PACKED = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the six tables."""
    op.create_table(
        "guardgraph_thread",
        sa.Column("tenant", IDENTIFIER, primary_key=True),
        sa.Column("thread_id", IDENTIFIER, primary_key=True),
        sa.Column("namespaces", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "guardgraph_namespace",
        sa.Column("namespace_id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("name", KEY, nullable=False),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("thread_id", IDENTIFIER, nullable=False),
        sa.Column("checkpoint_ns", LONG_IDENTIFIER, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("head", IDENTIFIER),
        sa.Column("seal", KEY, nullable=False),
        sa.Column("pending", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("guardgraph_namespace_name", "guardgraph_namespace", ["name"], unique=True)
    op.create_index("guardgraph_namespace_thread", "guardgraph_namespace", ["tenant", "thread_id"])
    op.create_table(
        "guardgraph_checkpoint",
        _part_of_key("namespace_id"),
        sa.Column("checkpoint_id", IDENTIFIER, primary_key=True),
        sa.Column("parent_id", IDENTIFIER),
        sa.Column("run_id", IDENTIFIER),
        sa.Column("body", PACKED, nullable=False),
        sa.Column("metadata", PACKED, nullable=False),
    )
    has_run = sa.text("run_id IS NOT NULL")
    op.create_index(
        "guardgraph_checkpoint_run",
        "guardgraph_checkpoint",
        ["run_id"],
        sqlite_where=has_run,
        postgresql_where=has_run,
    )
    _create_values()


def _create_values() -> None:
    op.create_table(
        "guardgraph_chunk",
        *map(_part_of_key, ("namespace_id", "branch", "lo")),
        sa.Column("hi", sa.BigInteger, nullable=False),
        sa.Column("data", PACKED, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "guardgraph_blob",
        _part_of_key("namespace_id"),
        sa.Column("hash", KEY, primary_key=True),
        sa.Column("data", PACKED, nullable=False),
    )
    op.create_table(
        "guardgraph_write",
        _part_of_key("namespace_id"),
        sa.Column("checkpoint_id", IDENTIFIER, primary_key=True),
        sa.Column("task_id", IDENTIFIER, primary_key=True),
        sa.Column("data", PACKED, nullable=False),
        sqlite_with_rowid=False,
    )


def _part_of_key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def downgrade() -> None:
    """Drop the six tables, and all checkpoints with them."""
    for name in ("write", "blob", "chunk", "checkpoint", "namespace", "thread"):
        op.drop_table(f"guardgraph_{name}")
