"""No two runs share a number.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_RUNS = sa.table("guardgraph_run", sa.column("run_id"), sa.column("number"), sa.column("created"))


def upgrade() -> None:
    """Give each run a number of its own, in the order in which they were listed until now."""
    connection, last = op.get_bind(), 0
    found = sa.select(_RUNS).order_by(_RUNS.c.number, _RUNS.c.created, _RUNS.c.run_id)
    for run_id, number, _ in connection.execute(found).all():
        last = max(number, last + 1)
        if last != number:
            connection.execute(sa.update(_RUNS).where(_RUNS.c.run_id == run_id).values(number=last))
    op.drop_index("guardgraph_run_number", "guardgraph_run")
    op.create_index("guardgraph_run_number", "guardgraph_run", ["number"], unique=True)


def downgrade() -> None:
    """Let runs share numbers."""
    op.drop_index("guardgraph_run_number", "guardgraph_run")
    op.create_index("guardgraph_run_number", "guardgraph_run", ["number"])
