"""What Alembic runs: the revisions, on the connection and in the transaction that `migrate` has opened."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="guardgraph_version")
with context.begin_transaction():
    context.run_migrations()
