"""A PostgreSQL database for one contestant."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import make_url

from bench.measuring.peers import Missing, peer

__all__ = ("new_database",)

_SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"


@contextmanager
def new_database() -> Generator[str]:
    """Give the URL of a new, empty database, and drop it afterwards.

    The server is that of `GUARDGRAPH_TEST_POSTGRES_URL`. Raises `Missing` where it does not answer within 10 seconds.
    """
    psycopg = peer("psycopg", distribution="psycopg")
    address = make_url(os.environ.get("GUARDGRAPH_TEST_POSTGRES_URL", _SERVER)).set(drivername="postgresql")
    server = address.set(database=address.database or "postgres").render_as_string(hide_password=False)
    name = f"guardgraph_bench_{uuid4().hex}"

    def administer(query: str) -> None:
        """Run the statement that `query` returns; a name cannot be a parameter of it, so the server quotes it."""
        with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
            (statement,) = connection.execute(query, [name]).fetchone()
            connection.execute(statement)

    try:
        administer("SELECT format('CREATE DATABASE %%I', %s::text)")
    except psycopg.OperationalError as error:
        raise Missing(f"PostgreSQL does not answer: {str(error).strip().splitlines()[0]}") from error
    try:
        yield address.set(database=name).render_as_string(hide_password=False)
    finally:
        administer("SELECT format('DROP DATABASE %%I WITH (FORCE)', %s::text)")
