"""The tables of accounts that runs and processes share, and what the accounts of runs draw on.

Revision ID: 0111
Revises: 0110
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0111"
down_revision = "0110"
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
SUMS = [f"{kind}_{what}" for kind in ("spent", "reserved") for what in ("tokens", "usd", "unpriced", "calls")]


def upgrade() -> None:
    """Create the tables, and add the column of side accounts."""
    op.add_column("guardgraph_account", sa.Column("side", PACKED))
    op.create_table(
        "guardgraph_shared_account",
        sa.Column("account", KEY, primary_key=True),
        sa.Column("owner", KEY, nullable=False),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("thread_id", IDENTIFIER),
        sa.Column("per", IDENTIFIER, nullable=False),
        sa.Column("label", PACKED, nullable=False),
        sa.Column("span", IDENTIFIER, nullable=False),
        sa.Column("starts", sa.BigInteger, nullable=False),
        sa.Column("ends", sa.BigInteger, nullable=False),
        sa.Column("declared", PACKED, nullable=False),
        sa.Column("alerts", PACKED, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS),
    )
    op.create_index("guardgraph_shared_account_owner", "guardgraph_shared_account", ["owner", "starts"])
    op.create_index("guardgraph_shared_account_tenant", "guardgraph_shared_account", ["tenant", "thread_id"])
    op.create_table(
        "guardgraph_shared_entry",
        sa.Column("account", KEY, primary_key=True),
        sa.Column("entry", KEY, primary_key=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("run_id", IDENTIFIER, nullable=False),
        sa.Column("thread_id", IDENTIFIER, nullable=False),
        sa.Column("lease", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("usd", sa.BigInteger),
        sa.Column("calls", sa.BigInteger, nullable=False),
    )
    op.create_index("guardgraph_shared_entry_run", "guardgraph_shared_entry", ["tenant", "run_id"])
    op.create_table(
        "guardgraph_operator_cap",
        sa.Column("owner", KEY, primary_key=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("thread_id", IDENTIFIER),
        sa.Column("span", IDENTIFIER, nullable=False),
        sa.Column("cap", PACKED, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_index("guardgraph_operator_cap_tenant", "guardgraph_operator_cap", ["tenant", "thread_id"])


def downgrade() -> None:
    """Drop the tables and the column; what was counted over runs is lost."""
    op.drop_table("guardgraph_operator_cap")
    op.drop_table("guardgraph_shared_entry")
    op.drop_table("guardgraph_shared_account")
    op.drop_column("guardgraph_account", "side")
