"""The tables of runs, their accounts and the accounts' entries.

Revision ID: 0102
Revises: 0101
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY

revision = "0102"
down_revision = "0101"
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
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _counts(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=nullable) for name in names]


def upgrade() -> None:
    """Create the three tables."""
    _create_accounts()
    _create_entries()
    _create_runs()


def _create_accounts() -> None:
    op.create_table(
        "guardgraph_account",
        sa.Column("account", KEY, primary_key=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("run_id", IDENTIFIER, nullable=False),
        sa.Column("name", PACKED, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("cap", PACKED, nullable=False),
        *_counts("cap_tokens", "cap_usd", "cap_calls", "cap_subtasks", "cap_messages", nullable=True),
        *_counts("input_tokens", "output_tokens", "microseconds"),
        *_counts("spent_usd", "spent_unpriced", "spent_calls", "spent_subtasks", "spent_messages"),
        *_counts("reserved_tokens", "reserved_usd", "reserved_unpriced", "reserved_calls"),
        *_counts("reserved_subtasks", "reserved_messages"),
    )
    op.create_index("guardgraph_account_run", "guardgraph_account", ["tenant", "run_id"])


def _create_entries() -> None:
    op.create_table(
        "guardgraph_entry",
        sa.Column("entry", KEY, primary_key=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("name", PACKED, nullable=False),
        sa.Column("account", KEY, nullable=False),
        sa.Column("run_id", IDENTIFIER, nullable=False),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.Column("in_full", sa.Boolean, nullable=False),
        *_counts("tokens"),
        *_counts("usd", nullable=True),
        *_counts("calls", "subtasks", "messages"),
        *_counts("input_tokens", "output_tokens", "used_usd", "used_calls", "microseconds", nullable=True),
    )
    op.create_index("guardgraph_entry_account", "guardgraph_entry", ["account", "settled"])
    op.create_index("guardgraph_entry_run", "guardgraph_entry", ["tenant", "run_id"])


def _create_runs() -> None:
    op.create_table(
        "guardgraph_run",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("tenant", IDENTIFIER, nullable=False),
        sa.Column("run_id", IDENTIFIER, nullable=False),
        sa.Column("thread_id", IDENTIFIER, nullable=False),
        sa.Column("graph", PACKED, nullable=False),
        sa.Column("arguments", PACKED, nullable=False),
        sa.Column("task", PACKED, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("status", sa.String(20)),
        sa.Column("outcome", PACKED),
        *_counts("created"),
        *_counts("started", "ended", nullable=True),
        sa.Column("base_checkpoint", IDENTIFIER),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("command", PACKED),
        sqlite_autoincrement=True,
    )
    op.create_index("guardgraph_run_id", "guardgraph_run", ["tenant", "run_id"], unique=True)
    op.create_index("guardgraph_run_thread", "guardgraph_run", ["tenant", "thread_id", "number"])
    op.create_index("guardgraph_run_tenant", "guardgraph_run", ["tenant", "number"])


def downgrade() -> None:
    """Drop the three tables, and all that they hold."""
    for name in ("guardgraph_run", "guardgraph_entry", "guardgraph_account"):
        op.drop_table(name)
