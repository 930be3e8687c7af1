"""The tables of evals.

Revision ID: 0103
Revises: 0102
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB

revision = "0103"
down_revision = "0102"
branch_labels = None
depends_on = None

NAME = (
    sa.String(200)
    .with_variant(sa.String(200, collation="C"), "postgresql")
    .with_variant(sa.String(200, collation="utf8mb4_0900_bin"), "mysql")
    .with_variant(sa.String(200, collation="utf8mb4_nopad_bin"), "mariadb")
)
PACKED = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "guardgraph_eval_run",
        sa.Column("run_name", NAME, primary_key=True),
        sa.Column("suite", NAME, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("started_at", sa.String(32), nullable=False),
        sa.Column("body", PACKED, nullable=False),
    )
    op.create_index("guardgraph_eval_run_suite", "guardgraph_eval_run", ["suite", "started_at"])
    op.create_table(
        "guardgraph_eval_row",
        sa.Column("run_name", NAME, primary_key=True),
        sa.Column("case_id", NAME, primary_key=True),
        sa.Column("finished_at", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("body", PACKED, nullable=False),
    )
    op.create_table(
        "guardgraph_eval_score",
        sa.Column("run_name", NAME, primary_key=True),
        sa.Column("case_id", NAME, primary_key=True),
        sa.Column("metric", NAME, primary_key=True),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("reason", PACKED, nullable=False),
    )


def downgrade() -> None:
    """Drop the three tables, and all results of evals with them."""
    for name in ("guardgraph_eval_score", "guardgraph_eval_row", "guardgraph_eval_run"):
        op.drop_table(name)
