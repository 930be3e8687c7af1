"""The table of events.

Revision ID: 0106
Revises: 0105
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB

revision = "0106"
down_revision = "0105"
branch_labels = None
depends_on = None

IDENTIFIER = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(sa.String(255, collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mariadb")
)
PACKED = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "guardgraph_event",
        sa.Column("tenant", IDENTIFIER, primary_key=True),
        sa.Column("run_id", IDENTIFIER, primary_key=True),
        sa.Column("upto", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("data", PACKED, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table; what happened is not known any more."""
    op.drop_table("guardgraph_event")
