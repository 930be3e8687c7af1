"""A database with tables of a test's own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Engine, MetaData

from guardgraph.storage.sql.engine import close_engine, engine_of, write_transaction

__all__ = ("engine_with",)


@contextmanager
def engine_with(metadata: MetaData, url: str) -> Generator[Engine]:
    """Give an engine of `url` on which the tables of `metadata` are new, and drop them afterwards."""
    made = engine_of(url)
    with write_transaction(made) as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    yield made
    with write_transaction(made) as connection:
        metadata.drop_all(connection)
    close_engine(made)
