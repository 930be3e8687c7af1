"""All rows of a tenant, read and deleted without guardgraph's own statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, Table, delete, select

from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.effect_table import effects
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.event_table import events
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.published_table import published
from guardgraph.storage.sql.reputation_table import awards
from guardgraph.storage.sql.shared_account_table import operator_caps, shared_accounts, shared_entries
from guardgraph.storage.sql.tables import (
    accounts,
    blobs,
    checkpoints,
    chunks,
    entries,
    leases,
    namespaces,
    runs,
    threads,
    writes,
)
from guardgraph.storage.sql.value_table import shared_values

__all__ = ("delete_rows_of", "rows_of_tenant")


def rows_of_tenant(engine: Engine, tenant: str) -> dict[str, list[Any]]:
    """Return the rows of a tenant by table, without tables that hold none."""
    found: dict[str, list[Any]] = {}
    with read_transaction(migrate(engine)) as connection:
        for table, is_theirs in _conditions(tenant):
            rows = connection.execute(select(table).where(is_theirs)).all()
            if rows:
                found[table.name] = sorted(map(repr, rows))
    return found


def delete_rows_of(engine: Engine, tenant: str) -> None:
    """Delete all rows of a tenant."""
    with write_transaction(migrate(engine)) as connection:
        for table, is_theirs in _conditions(tenant):
            connection.execute(delete(table).where(is_theirs))


def _conditions(tenant: str) -> Iterator[tuple[Table, Any]]:
    theirs = select(namespaces.c.namespace_id).where(namespaces.c.tenant == tenant)
    for table in (writes, blobs, chunks, checkpoints):
        yield table, table.c.namespace_id.in_(theirs)
    for table in (
        namespaces,
        threads,
        runs,
        leases,
        accounts,
        entries,
        effects,
        events,
        boards,
        awards,
        published,
        shared_values,
    ):
        yield table, table.c.tenant == tenant
    for table in (shared_accounts, shared_entries, operator_caps):
        yield table, table.c.tenant == tenant
