"""The table of side effects.

Revision ID: 0105
Revises: 0104
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0105"
down_revision = "0104"
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
        "guardgraph_effect",
        sa.Column("effect", KEY, primary_key=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("name", PACKED, nullable=False),
        sa.Column("run_id", IDENTIFIER),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("result", PACKED),
    )
    op.create_index("guardgraph_effect_open", "guardgraph_effect", ["tenant", "ended", "started"])
    op.create_index("guardgraph_effect_run", "guardgraph_effect", ["tenant", "run_id"])


def downgrade() -> None:
    """Drop the table; what was done is not known any more."""
    op.drop_table("guardgraph_effect")
