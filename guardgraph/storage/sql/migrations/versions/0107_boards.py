"""The table of boards.

Revision ID: 0107
Revises: 0106
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0107"
down_revision = "0106"
branch_labels = None
depends_on = None

IDENTIFIER = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(sa.String(255, collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mariadb")
)
KEY = sa.LargeBinary(16).with_variant(VARBINARY(16), "mysql", "mariadb")
PACKED = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "guardgraph_board",
        sa.Column("board", KEY, primary_key=True),
        sa.Column("entry", KEY, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("thread_id", IDENTIFIER),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("request", KEY),
        sa.Column("data", PACKED, nullable=False),
    )
    op.create_index("guardgraph_board_number", "guardgraph_board", ["board", "number"], unique=True)
    op.create_index("guardgraph_board_request", "guardgraph_board", ["board", "request"], unique=True)
    op.create_index("guardgraph_board_thread", "guardgraph_board", ["tenant", "thread_id"])


def downgrade() -> None:
    """Drop the table; what is on the boards is lost."""
    op.drop_table("guardgraph_board")
