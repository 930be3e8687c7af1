"""The table of settled awards.

Revision ID: 0108
Revises: 0107
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0108"
down_revision = "0107"
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
        "guardgraph_award",
        sa.Column("award", KEY, primary_key=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("agent", KEY, nullable=False),
        sa.Column("name", PACKED, nullable=False),
        sa.Column("settled", sa.BigInteger, nullable=False),
        sa.Column("is_done", sa.Boolean, nullable=False),
        sa.Column("bid", sa.Float(53), nullable=False),
        sa.Column("actual", sa.Float(53)),
        sa.Column("overrun", sa.Float(53)),
        sa.Column("seconds", sa.Float(53), nullable=False),
    )
    op.create_index("guardgraph_award_agent", "guardgraph_award", ["agent", "settled"])
    op.create_index("guardgraph_award_tenant", "guardgraph_award", ["tenant"])


def downgrade() -> None:
    """Drop the table; what is known of bidders is lost."""
    op.drop_table("guardgraph_award")
