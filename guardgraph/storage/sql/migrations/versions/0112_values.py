"""The table of values that all runs of a tenant share.

Revision ID: 0112
Revises: 0111
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0112"
down_revision = "0111"
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
        "guardgraph_value",
        sa.Column("value", KEY, primary_key=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", PACKED, nullable=False),
        sa.Column("data", PACKED, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
    )
    op.create_index("guardgraph_value_tenant", "guardgraph_value", ["tenant", "kind", "changed"])


def downgrade() -> None:
    """Drop the table: rate limits begin anew, circuits close, and what attempts cost is learned again."""
    op.drop_table("guardgraph_value")
