"""Databases to test on: a new SQLite file, and a new PostgreSQL database that is dropped afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import OperationalError

from guardgraph.state.sql import SQLSaver

POSTGRES = os.environ.get("GUARDGRAPH_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/")


def _server() -> tuple[Engine, URL]:
    address = make_url(POSTGRES).set(drivername="postgresql+psycopg")
    admin = create_engine(address.set(database=address.database or "postgres"), isolation_level="AUTOCOMMIT")
    return admin, address


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """Give the URL of a new PostgreSQL database; without a server the test is skipped, or fails when CI is set."""
    admin, address = _server()
    name = f"guardgraph_test_{uuid4().hex}"
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except OperationalError as error:
        admin.dispose()
        if os.environ.get("CI") == "true":
            pytest.fail(f"PostgreSQL cannot be reached: {error}")
        pytest.skip("PostgreSQL cannot be reached")
    try:
        yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'guardgraph.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a new, empty database, once of each kind."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def saver(database_url: str) -> Iterator[SQLSaver]:
    """Give a saver on a new, empty database, once of each kind."""
    with SQLSaver.from_url(database_url) as opened:
        yield opened
