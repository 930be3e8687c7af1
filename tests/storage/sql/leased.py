"""Leases as a killed process leaves them, without waiting until they have run out."""

from __future__ import annotations

from sqlalchemy import Engine, update

from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.tables import leases

__all__ = ("expire_leases",)


def expire_leases(database: str | Engine) -> None:
    """Let every lease in a database run out at once."""
    engine = engine_of(database)
    with write_transaction(engine) as connection:
        connection.execute(update(leases).where(leases.c.expires > 0).values(expires=1))
    if isinstance(database, str):
        engine.dispose()
