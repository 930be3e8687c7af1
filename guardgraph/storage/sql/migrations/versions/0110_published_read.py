"""What was read of published events.

Revision ID: 0110
Revises: 0109
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0110"
down_revision = "0109"
branch_labels = None
depends_on = None

IDENTIFIER = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(sa.String(255, collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mariadb")
)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "guardgraph_published_read",
        sa.Column("tenant", IDENTIFIER, primary_key=True),
        sa.Column("thread_id", IDENTIFIER, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the table; every thread to which something was published is looked at again."""
    op.drop_table("guardgraph_published_read")
