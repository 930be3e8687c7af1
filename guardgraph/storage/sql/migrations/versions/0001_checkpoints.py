"""The tables of the checkpointer.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IDENTIFIER = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(sa.String(255, collation="utf8mb4_bin"), "mysql", "mariadb")
)
KEY = sa.LargeBinary(16).with_variant(VARBINARY(16), "mysql", "mariadb")
PACKED = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Create the four tables."""
    op.create_table(
        "guardgraph_line",
        sa.Column("line", KEY, primary_key=True),
        sa.Column("thread_id", IDENTIFIER, nullable=False),
        sa.Column("checkpoint_ns", sa.Text, nullable=False),
    )
    op.create_index("guardgraph_line_thread", "guardgraph_line", ["thread_id"])
    op.create_table(
        "guardgraph_checkpoint",
        sa.Column("line", KEY, primary_key=True),
        sa.Column("checkpoint_id", IDENTIFIER, primary_key=True),
        sa.Column("parent_id", IDENTIFIER),
        sa.Column("run_id", IDENTIFIER),
        sa.Column("body", PACKED, nullable=False),
        sa.Column("metadata", PACKED, nullable=False),
    )
    op.create_index("guardgraph_checkpoint_run", "guardgraph_checkpoint", ["run_id"])
    op.create_table(
        "guardgraph_value",
        sa.Column("line", KEY, primary_key=True),
        sa.Column("value", KEY, primary_key=True),
        sa.Column("data", PACKED, nullable=False),
    )
    op.create_table(
        "guardgraph_write",
        sa.Column("line", KEY, primary_key=True),
        sa.Column("checkpoint_id", IDENTIFIER, primary_key=True),
        sa.Column("task_id", IDENTIFIER, primary_key=True),
        sa.Column("idx", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("task_path", PACKED, nullable=False),
        sa.Column("channel", PACKED, nullable=False),
        sa.Column("data", PACKED, nullable=False),
    )


def downgrade() -> None:
    """Drop the four tables, and all checkpoints with them."""
    for name in ("guardgraph_write", "guardgraph_value", "guardgraph_checkpoint", "guardgraph_line"):
        op.drop_table(name)
