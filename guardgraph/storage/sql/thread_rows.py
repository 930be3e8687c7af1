"""What a thread has besides its checkpoints: runs, ledgers, boards, the lease. Each is called in one transaction."""

from __future__ import annotations

import secrets
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, func, select

from guardgraph.state import RunUnfinished
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.effect_table import effects
from guardgraph.storage.sql.event_table import events
from guardgraph.storage.sql.leases import Claim, acquire, leases_of
from guardgraph.storage.sql.published_table import published, published_read
from guardgraph.storage.sql.shared_account_table import operator_caps, shared_accounts, shared_entries
from guardgraph.storage.sql.statements import namespaces_of_thread
from guardgraph.storage.sql.tables import accounts, entries, leases, namespaces, runs, threads

__all__ = (
    "ThreadRows",
    "check_ended",
    "check_idle",
    "delete_rows",
    "has_boards",
    "idle",
    "insert_run",
    "is_stored",
    "rows_of",
    "run_ids_of",
    "runs_of",
    "thread_ids",
)


_SECONDS = 60.0
"""How long the lease lasts that is held within a transaction; no other process ever sees it."""


class ThreadRows(NamedTuple):
    """How many rows a thread has."""

    runs: int
    effects: int = 0


@contextmanager
def idle(connection: Connection, tenant: str, thread_id: str) -> Generator[None]:
    """Keep everybody from working on a thread until the end of the transaction.

    Raises:
        ThreadBusy: somebody works on it.
    """
    owner = f"management:{secrets.token_hex(8)}"
    fence = acquire(connection, Claim(thread_id, "", owner, _SECONDS, tenant))
    yield
    connection.execute(
        delete(leases).where(leases.c.tenant == fence.tenant, leases.c.thread_id == thread_id)
    )  # a lease that is taken later has a number above it, so that no writer from before fits it


def check_idle(connection: Connection, tenant: str, thread_id: str) -> None:
    """Raise `ThreadBusy` where somebody works on a thread at this moment."""
    lease = leases_of(connection, [thread_id], tenant).get(thread_id)
    if lease is not None and lease.state == "live":
        raise lease.busy()


def runs_of(connection: Connection, tenant: str, thread_id: str) -> Sequence[Mapping[Any, Any]]:
    """Return the rows of a thread's runs, oldest first."""
    found = _of_thread(tenant, thread_id).order_by(runs.c.number)
    return connection.execute(found).mappings().all()


def run_ids_of(tenant: str, thread_id: str) -> Select[Any]:
    """Select the ids of a thread's runs."""
    return _of_thread(tenant, thread_id).with_only_columns(runs.c.run_id)


def thread_ids(connection: Connection, tenant: str) -> list[str]:
    """Return the threads of a tenant that have a checkpoint, a run or a board, sorted."""
    stored = select(namespaces.c.thread_id).where(namespaces.c.tenant == tenant)
    others = [select(table.c.thread_id).where(table.c.tenant == tenant) for table in (runs, threads)]
    written = select(boards.c.thread_id).where(boards.c.tenant == tenant, boards.c.thread_id.is_not(None))
    return sorted(connection.execute(stored.union(*others, written)).scalars())


def is_stored(connection: Connection, tenant: str, thread_id: str) -> bool:
    """Return whether a thread has a checkpoint, a run or a board."""
    counted = select(threads).where(threads.c.tenant == tenant, threads.c.thread_id == thread_id)
    stored = (namespaces_of_thread(tenant, thread_id), run_ids_of(tenant, thread_id), counted)
    return any(connection.execute(one.limit(1)).first() for one in stored) or has_boards(connection, tenant, thread_id)


def has_boards(connection: Connection, tenant: str, thread_id: str) -> bool:
    """Return whether anything was written on a board of a thread."""
    mine = select(boards.c.board).where(boards.c.tenant == tenant, boards.c.thread_id == thread_id)
    return connection.execute(mine.limit(1)).first() is not None


def check_ended(connection: Connection, tenant: str, thread_id: str) -> None:
    """Raise `RunUnfinished` where the last of a thread's runs has not ended."""
    last = connection.execute(_of_thread(tenant, thread_id).order_by(runs.c.number.desc()).limit(1)).one_or_none()
    if last is not None and last.status is None:
        raise RunUnfinished(last.run_id, thread_id=thread_id)


def rows_of(connection: Connection, tenant: str, thread_id: str, *, with_effects: bool) -> ThreadRows:
    """Return how many runs a thread has, and how many effects that began in them."""
    numbers = [select(func.count()).select_from(run_ids_of(tenant, thread_id).subquery())]
    if with_effects:
        numbers.append(select(func.count()).select_from(effects).where(*_effects_of(tenant, thread_id)))
    return ThreadRows(*[connection.execute(number).scalar_one() for number in numbers])


def delete_rows(connection: Connection, tenant: str, thread_id: str, *, with_effects: bool) -> None:
    """Delete the row of a thread, its boards, what was published to it, and its runs with their effects."""
    if with_effects:
        connection.execute(delete(effects).where(*_effects_of(tenant, thread_id)))
    for table in (entries, accounts, events):
        mine = (table.c.tenant == tenant, table.c.run_id.in_(run_ids_of(tenant, thread_id)))
        connection.execute(delete(table).where(*mine))
    for table in (shared_entries, shared_accounts, operator_caps, runs, threads, boards, published, published_read):
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.thread_id == thread_id))


def insert_run(connection: Connection, row: Mapping[Any, Any]) -> None:
    """Store a run as the latest one of its thread, under whose lease this is done."""
    connection.execute(runs.insert(), {name: value for name, value in row.items() if name != "number"})


def _of_thread(tenant: str, thread_id: str) -> Select[Any]:
    return select(runs).where(runs.c.tenant == tenant, runs.c.thread_id == thread_id)


def _effects_of(tenant: str, thread_id: str) -> tuple[Any, ...]:
    return effects.c.tenant == tenant, effects.c.run_id.in_(run_ids_of(tenant, thread_id))
