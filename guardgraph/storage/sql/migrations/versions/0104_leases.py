"""One process works on a thread, and a run knows what it was given.

Revision ID: 0104
Revises: 0103
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB

revision = "0104"
down_revision = "0103"
branch_labels = None
depends_on = None

ID = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(sa.String(255, collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(sa.String(255, collation="utf8mb4_nopad_bin"), "mariadb")
)
PACKED = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "guardgraph_lease",
        sa.Column("tenant", ID, primary_key=True),
        sa.Column("thread_id", ID, primary_key=True),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("wanted", sa.String(20)),
        sa.Column("reason", PACKED),
    )


def downgrade() -> None:
    """Drop the table: nothing is worked on."""
    op.drop_table("guardgraph_lease")
