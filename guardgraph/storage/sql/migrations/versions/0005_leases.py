"""One process works on a thread, and a run knows what it was given.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(sa.String(255, collation="utf8mb4_bin"), "mysql", "mariadb")
)
PACKED = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Create the table of leases, and the column of commands."""
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
    op.add_column("guardgraph_run", sa.Column("command", PACKED))


def downgrade() -> None:
    """Drop both."""
    op.drop_column("guardgraph_run", "command")
    op.drop_table("guardgraph_lease")
