"""Databases to test on: a new SQLite file, a new schema in PostgreSQL, a new database in MariaDB."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from uuid import uuid4

import pytest
from sqlalchemy import URL, NullPool, create_engine, make_url
from sqlalchemy.exc import OperationalError

from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.migrate import migrate
from tests.storage.sql.schemas import Schemas

POSTGRES = os.environ.get("GUARDGRAPH_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/")
MARIADB = os.environ.get("GUARDGRAPH_TEST_MARIADB_URL", "mariadb://root@127.0.0.1:3306/")
KINDS = os.environ.get("GUARDGRAPH_TEST_DATABASES", "sqlite,postgres").split(",")
"""On what most tests run; to make a MariaDB database takes long, so it is only among them when it is named."""
_made: dict[pytest.Config, tuple[Schemas, URL]] = {}


def _unreachable(server: str, error: Exception) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{server} cannot be reached: {error}")
    pytest.skip(f"{server} cannot be reached")


@contextmanager
def _postgres_database() -> Generator[str]:
    """Yield the URL of a new database in PostgreSQL."""
    address, name = make_url(POSTGRES), f"guardgraph_test_{uuid4().hex}"
    server = address.set(drivername="postgresql+psycopg", database=address.database or "postgres")
    admin = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except OperationalError as error:
        _unreachable("PostgreSQL", error)
    try:
        yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _mariadb_database() -> Generator[str]:
    address, name = make_url(MARIADB), f"guardgraph_test_{uuid4().hex[:16]}"
    admin = create_engine(address.set(drivername="mariadb+pymysql"), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
            connection.exec_driver_sql(f"CREATE USER {name}@'%%' IDENTIFIED BY 'test'")
            connection.exec_driver_sql(f"GRANT ALL ON {name}.* TO {name}@'%%'")
    except OperationalError as error:
        _unreachable("MariaDB", error)
    try:
        own = address.set(drivername="mariadb", username=name, password="test", database=name)
        yield own.render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP USER {name}@'%%'")
            connection.exec_driver_sql(f"DROP DATABASE {name}")


def _database(config: pytest.Config) -> tuple[Schemas, URL]:
    """Return the PostgreSQL database of this process, made at the first call and dropped when the tests have ended."""
    if config not in _made:
        stack = ExitStack()
        address = make_url(stack.enter_context(_postgres_database()))
        config.add_cleanup(stack.close)
        driver = address.set(drivername="postgresql+psycopg")
        _made[config] = Schemas(create_engine(driver, isolation_level="AUTOCOMMIT", poolclass=NullPool)), address
    return _made[config]


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the URL of a schema in PostgreSQL that holds nothing; without a server, skip the test, or fail under CI.

    It may have empty tables, which were made for another test, unless the test is marked with `no_tables`.
    """
    schemas, address = _database(request.config)
    with schemas.one(with_tables=request.node.get_closest_marker("no_tables") is None) as name:
        yield address.set(query={"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)


@pytest.fixture
def mariadb_url() -> Iterator[str]:
    """Give the URL of a new, empty database in MariaDB, with a user of its own who has all rights in it."""
    with _mariadb_database() as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgres", "mariadb"])
def kept_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a database that all tests share, once of each kind: for tests that keep to ids of their own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('kept') / 'guardgraph.db'}"
        return
    with (_postgres_database if request.param == "postgres" else _mariadb_database)() as url:
        yield url


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a SQLite file that holds nothing; it is not there yet if the test is marked with `no_tables`."""
    file = tmp_path / "guardgraph.db"
    if request.node.get_closest_marker("no_tables") is None:
        file.write_bytes(_tables())
    return f"sqlite:///{file}"


@cache
def _tables() -> bytes:
    """Return the bytes of a SQLite file that has all tables and not a row."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "guardgraph.db"
        with SQLSaver.from_url(f"sqlite:///{file}") as saver:
            migrate(saver.engine)
        return file.read_bytes()


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a new, empty database, once of each kind."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def saver(database_url: str) -> Iterator[SQLSaver]:
    """Give a saver on a new, empty database, once of each kind."""
    with SQLSaver.from_url(database_url) as opened:
        yield opened
