"""The databases on which faults are tried."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import click
from sqlalchemy import create_engine, make_url
from sqlalchemy.schema import CreateSchema, DropSchema

from bench.measuring.postgres import new_database

__all__ = ("database_option", "opened")

database_option = click.option(
    "--database", type=click.Choice(["sqlite", "postgresql", "mariadb"]), default="sqlite", show_default=True
)


@contextmanager
def opened(kind: str, folder: Path) -> Generator[str]:
    """Give the URL of a new, empty database, and drop it afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'faults.db'}"
    elif kind == "postgresql":
        with new_database() as url:
            yield url
    else:
        with _new_mariadb() as url:
            yield url


@contextmanager
def _new_mariadb() -> Generator[str]:
    """The server is that of `GUARDGRAPH_TEST_MARIADB_URL`, by default the one of this computer."""
    server = make_url(os.environ.get("GUARDGRAPH_TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306/mysql"))
    name = f"guardgraph_bench_{uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(CreateSchema(name))
        try:
            yield server.set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(DropSchema(name))
    engine.dispose()
