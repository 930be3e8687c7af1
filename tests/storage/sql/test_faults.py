"""Each fault of a database is one typed error, in bounded time, with nothing written; afterwards all works again."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, inspect, make_url

from guardgraph.state import (
    Allowance,
    Amount,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnavailable,
    Task,
)
from guardgraph.storage import RunStore, SQLLedger, SQLSaver
from guardgraph.storage.sql.engine import close_engine, engine_of
from guardgraph.storage.sql.timeouts import Timeouts
from tests.storage.sql.leased import no_lease
from tests.storage.sql.proxy import Proxy
from tests.storage.sql.stored import config_of, ids_in, store

BUSY = 0.3
LIMIT = Timeouts.of(BUSY).answer + 3
"""Seconds after which a test fails: the longest wait for an answer, and something for a slow machine."""
_numbers = count()


class User(NamedTuple):
    """One kind of storage: how it writes one thing more, and how many there are in all."""

    write: Callable[[], object]
    total: Callable[[], int]


def of_saver(engine: Engine) -> User:
    saver = SQLSaver(engine)
    return User(lambda: store(saver, "t", {"a": "x" * 1000}), lambda: len(ids_in(saver, config_of("t"))))


def of_ledger(engine: Engine) -> User:
    ledger = SQLLedger(engine, tenant="")
    epoch = ledger.open("run", Allowance(calls=10_000))
    return User(
        lambda: ledger.reserve(f"entry {next(_numbers)}", "run", epoch, Amount(calls=1)),
        lambda: ledger.balances("run")[0].reserved.calls,
    )


def of_runs(engine: Engine) -> User:
    runs, now = RunStore(engine, tenant=""), datetime.now(UTC)

    def create() -> None:
        name = f"run {next(_numbers)}"
        runs.create(name, name, "graph", {}, Task(goal="x"), now, claim=no_lease)

    return User(create, lambda: len(runs.list(10_000)))


USERS = {"saver": of_saver, "ledger": of_ledger, "runs": of_runs}
Open = Callable[[str], tuple[Engine, User]]


@pytest.fixture(params=USERS)
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    engines: list[Engine] = []

    def open_at(url: str) -> tuple[Engine, User]:
        engine = engine_of(url, busy_timeout=BUSY)
        engines.append(engine)
        user = USERS[request.param](engine)
        user.write()
        return engine, user

    yield open_at
    for engine in engines:
        close_engine(engine)


def check(user: User, error: type[StorageError], fault: AbstractContextManager[object]) -> StorageError:
    """Let a write meet a fault, and check what it did; return its error."""
    before = user.total()
    with fault:
        began = time.monotonic()
        with pytest.raises(StorageError) as caught:
            user.write()
        took = time.monotonic() - began

    assert type(caught.value) is error, repr(caught.value)
    assert took < LIMIT
    assert user.total() == before
    user.write()
    assert user.total() == before + 1
    return caught.value


@contextmanager
def admin_of(url: str) -> Generator[Connection]:
    """Connect to the server of `url` with all rights, in the same database or schema."""
    address = make_url(url)
    if address.get_backend_name() == "mariadb":
        address = address.set(drivername="mariadb+pymysql", username="root", password="")
    else:
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def drop_connections(url: str) -> None:
    """Drop all connections to the database of `url`, and wait until they are gone."""
    with admin_of(url) as admin:
        if admin.dialect.name == "postgresql":
            mine = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            find, end = f"SELECT pid {mine}", "SELECT pg_terminate_backend({})"
        else:
            find, end = "SELECT id FROM information_schema.processlist WHERE user = database()", "KILL {}"
        for number in admin.exec_driver_sql(find).scalars().all():
            admin.exec_driver_sql(end.format(number))
        while admin.exec_driver_sql(find).first() is not None:
            time.sleep(0.01)


@contextmanager
def locked(url: str) -> Generator[None]:
    if url.startswith("sqlite"):
        other = sqlite3.connect(path_in(url), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
        return
    with admin_of(url) as admin:
        names = [name for name in inspect(admin).get_table_names() if name.startswith("guardgraph_")]
        if admin.dialect.name == "postgresql":
            admin.exec_driver_sql("BEGIN")
            admin.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
        else:
            admin.exec_driver_sql(f"LOCK TABLES {', '.join(f'{name} WRITE' for name in names)}")
        yield


@contextmanager
def read_only(url: str, engine: Engine) -> Generator[None]:
    if engine.dialect.name == "sqlite":
        pragma = ["PRAGMA query_only = ON"]
        event.listen(engine, "checkout", lambda connection, *_: connection.execute(pragma[0]))
        yield
        pragma[0] = "PRAGMA query_only = OFF"
        return
    name = make_url(url).database
    if engine.dialect.name == "postgresql":
        begin, end = (
            f"ALTER DATABASE {name} {what}" for what in ("SET default_transaction_read_only = on", "RESET ALL")
        )
    else:
        rights = "INSERT, UPDATE, DELETE ON"
        begin, end = f"REVOKE {rights} {name}.* FROM {name}@'%%'", f"GRANT {rights} {name}.* TO {name}@'%%'"
    for number, statement in enumerate((begin, end)):
        with admin_of(url) as admin:
            if engine.dialect.name == "postgresql":
                admin.exec_driver_sql("SET default_transaction_read_only = off")
            admin.exec_driver_sql(statement)
        drop_connections(url)
        if number == 0:
            yield


@contextmanager
def dropped_on_the_way(url: str, engine: Engine) -> Generator[None]:
    """Drop all connections before the first statement that writes."""
    before_first_write(engine, lambda _: drop_connections(url))
    yield


def before_first_write(engine: Engine, act: Callable[[Connection], object]) -> None:
    once = [act]

    def listener(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE")) and once:
            once.pop()(connection)

    event.listen(engine, "before_cursor_execute", listener)


def path_in(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def any_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(params=["postgres", "mariadb"])
def server_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{request.param}_url")


def test_a_lock_of_another_ends_in_time(any_url: str, opened: Open) -> None:
    _, user = opened(any_url)

    check(user, StorageBusy, locked(any_url))


def test_a_locked_row_ends_in_time(server_url: str) -> None:
    engine = engine_of(server_url, busy_timeout=BUSY)
    user = of_ledger(engine)

    @contextmanager
    def locked_row() -> Generator[None]:
        with admin_of(server_url) as admin:
            admin.exec_driver_sql("BEGIN")
            admin.exec_driver_sql("SELECT * FROM guardgraph_account FOR UPDATE").all()
            yield

    check(user, StorageBusy, locked_row())
    close_engine(engine)


def test_a_statement_that_is_too_slow_ends_in_time(server_url: str) -> None:
    engine = engine_of(server_url, busy_timeout=BUSY)
    user = of_saver(engine)
    sleep = "SELECT pg_sleep(60)" if engine.dialect.name == "postgresql" else "SELECT count(*), sleep(60) FROM dual"

    @contextmanager
    def slow() -> Generator[None]:
        before_first_write(engine, lambda connection: connection.exec_driver_sql(sleep))
        yield

    user.write()
    check(user, StorageBusy, slow())
    close_engine(engine)


def test_a_database_that_cannot_be_written(any_url: str, opened: Open) -> None:
    engine, user = opened(any_url)

    check(user, StorageReadOnly, read_only(any_url, engine))


def test_a_full_database(sqlite_url: str, opened: Open) -> None:
    engine, user = opened(sqlite_url)
    pages = [1]
    event.listen(engine, "checkout", lambda connection, *_: connection.execute(f"PRAGMA max_page_count = {pages[0]}"))

    def write_until_full() -> None:
        for _ in range(10_000):
            user.write()

    began = user.total()
    with pytest.raises(StorageFull, match="is full; free some space"):
        write_until_full()
    written = user.total()
    with pytest.raises(StorageFull):
        write_until_full()
    pages[0] = 1_000_000
    user.write()

    assert user.total() in (written + 1, written + 2)  # a smaller row may have had room beside a larger one
    assert written >= began


def test_a_connection_that_is_dropped_on_the_way(server_url: str, opened: Open) -> None:
    engine, user = opened(server_url)

    check(user, StorageUnavailable, dropped_on_the_way(server_url, engine))


def test_a_connection_that_was_dropped_while_idle_is_replaced(server_url: str, opened: Open) -> None:
    _, user = opened(server_url)
    before = user.total()
    drop_connections(server_url)

    user.write()

    assert user.total() == before + 1


def test_a_server_that_falls_silent(server_url: str, opened: Open) -> None:
    with Proxy(server_url) as proxy:
        _, user = opened(proxy.url)

        error = check(user, StorageUnavailable, proxy.silent())

    assert "cannot be reached" in str(error)


def test_a_server_that_is_silent_from_the_start(server_url: str) -> None:
    with Proxy(server_url) as proxy, proxy.silent():
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            of_ledger(engine_of(proxy.url, busy_timeout=BUSY))

    assert time.monotonic() - began < LIMIT


def test_a_deleted_file_is_noticed_before_it_is_written(sqlite_url: str, opened: Open) -> None:
    _, user = opened(sqlite_url)
    path, away = path_in(sqlite_url), path_in(sqlite_url).with_name("away.db")

    @contextmanager
    def deleted() -> Generator[None]:
        path.rename(away)
        yield
        with pytest.raises(StorageUnavailable, match="was deleted while it was open, nothing was written; put it back"):
            user.write()
        assert not path.exists()
        away.rename(path)

    check(user, StorageUnavailable, deleted())


def test_a_deleted_log_is_noticed_before_it_is_written(sqlite_url: str, opened: Open) -> None:
    _, user = opened(sqlite_url)
    user.write()
    before = user.total()
    for name in ("wal", "shm"):
        path_in(sqlite_url).with_name(f"guardgraph.db-{name}").unlink()

    with pytest.raises(StorageUnavailable, match=r"-wal' was deleted or replaced .* nothing was written; try again"):
        user.write()

    assert user.total() == before  # its connection was closed, which has moved all into the file
    user.write()
    assert user.total() == before + 1


def test_a_replaced_file_is_noticed_before_it_is_written(sqlite_url: str, opened: Open, tmp_path: Path) -> None:
    engine, user = opened(sqlite_url)
    path, copy = path_in(sqlite_url), tmp_path / "copy.db"
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(path, copy)
    user.write()
    before = user.total()
    path.with_name(f"{path.name}-wal").unlink()
    copy.replace(path)

    with pytest.raises(StorageUnavailable, match="was replaced while it was open, nothing was written; try again"):
        user.write()
    assert user.total() == before - 1
    user.write()
    assert user.total() == before
