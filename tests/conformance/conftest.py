"""The storages on which graphs are tried out: made once, since every trial has a thread of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError

from guardgraph.testing import Storage, storages

POSTGRES = os.environ.get("GUARDGRAPH_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/")


@pytest.fixture(scope="session")
def postgres_database() -> Iterator[str | None]:
    """Give the URL of a new PostgreSQL database; `None` without a server, but a failure when CI is set."""
    address = make_url(POSTGRES).set(drivername="postgresql+psycopg")
    admin = create_engine(address.set(database=address.database or "postgres"), isolation_level="AUTOCOMMIT")
    name = f"guardgraph_test_{uuid4().hex}"
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except OperationalError as error:
        admin.dispose()
        if os.environ.get("CI") == "true":
            pytest.fail(f"PostgreSQL cannot be reached: {error}")
        yield None
        return
    try:
        yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory, postgres_database: str | None) -> Mapping[str, Storage]:
    """Give every storage by name."""
    found = storages(tmp_path_factory.mktemp("storages"), postgres=postgres_database)
    return {storage.name: storage for storage in found}
