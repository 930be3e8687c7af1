"""Leases for tests: taken without a runner, and as a killed process leaves them, without waiting for their end."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, update

from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.leases import Claim, acquire
from guardgraph.storage.sql.runs import InTransaction
from guardgraph.storage.sql.tables import leases

__all__ = ("claiming", "expire_leases", "no_lease")


def claiming(thread_id: str, run_id: str, *, tenant: str = "", owner: str = "test") -> InTransaction:
    """Return what takes the lease of a thread for a minute; the same owner may take it again."""
    return lambda connection: acquire(connection, Claim(thread_id, run_id, owner, 60, tenant))


def no_lease(_: Connection) -> None:
    """Take no lease: nobody else uses the thread."""


def expire_leases(database: str | Engine) -> None:
    """Let every lease in a database run out at once."""
    engine = engine_of(database)
    with write_transaction(engine) as connection:
        connection.execute(update(leases).where(leases.c.expires > 0).values(expires=1))
    if isinstance(database, str):
        engine.dispose()
