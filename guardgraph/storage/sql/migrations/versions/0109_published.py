"""The table of published events.

Revision ID: 0109
Revises: 0108
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0109"
down_revision = "0108"
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
        "guardgraph_published",
        sa.Column("tenant", IDENTIFIER, primary_key=True),
        sa.Column("thread_id", IDENTIFIER, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("data", PACKED, nullable=False),
    )
    op.create_index("guardgraph_published_name", "guardgraph_published", ["name"], unique=True)


def downgrade() -> None:
    """Drop the table; what was published and is not in the log of a thread is lost."""
    op.drop_table("guardgraph_published")
