"""Opening a database, and its two kinds of transaction: reading and writing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from typing import Any, Literal, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from guardgraph.state import BadInput, MissingExtra, StorageUnavailable
from guardgraph.storage.sql.connections import check_file, check_files, ping_after_idling
from guardgraph.storage.sql.errors import place_of, translate_errors
from guardgraph.storage.sql.packets import limit_packets
from guardgraph.storage.sql.timeouts import Timeouts, check_options, connect_arguments, limit_server, refused_option

__all__ = (
    "Synchronous",
    "check_process",
    "close_engine",
    "engine_of",
    "is_forked",
    "is_sqlite",
    "read_transaction",
    "write_transaction",
)

Synchronous = Literal["FULL", "NORMAL"]
"""When SQLite syncs a commit to disk: always (`FULL`), or at checkpoints of its log (`NORMAL`)."""

_DRIVERS = {
    "postgres": ("postgresql+psycopg", "psycopg", "postgres"),
    "postgresql": ("postgresql+psycopg", "psycopg", "postgres"),
    "postgresql+psycopg": ("postgresql+psycopg", "psycopg", "postgres"),
    "mysql": ("mysql+pymysql", "pymysql", "mysql"),
    "mysql+pymysql": ("mysql+pymysql", "pymysql", "mysql"),
    "mariadb": ("mariadb+pymysql", "pymysql", "mysql"),
    "mariadb+pymysql": ("mariadb+pymysql", "pymysql", "mysql"),
}
_WRITES = "guardgraph_writes"


class _Opened(NamedTuple):
    """What is kept of an engine."""

    process: int
    """The process in which it was first used; neither connections nor worker threads survive a fork."""
    lock: AbstractContextManager[object]
    """Held by each write to SQLite, which has one writer anyway: its own busy wait sleeps, a lock wakes at once."""


_opened: WeakKeyDictionary[Engine, _Opened] = WeakKeyDictionary()
_opened_lock = RLock()


def engine_of(url: str | Engine, *, busy_timeout: float = 5.0, synchronous: Synchronous = "FULL") -> Engine:
    """Return an engine for a database URL; an `Engine` is used as it is, and gets our SQLite transactions.

    `sqlite:///runs.db`, `sqlite://` (memory, gone with the engine) and `postgresql://…` (psycopg 3) are supported. No
    connection is made yet, but a SQLite file whose folder is missing is refused at once.

    Args:
        url: a database URL, or an engine that the caller owns.
        busy_timeout: seconds to wait for a lock of another process before `StorageBusy`. On a server it also limits
            every statement (`StorageBusy`) and the wait for an answer (`StorageUnavailable`); see `Timeouts`.
        synchronous: SQLite only. `FULL` keeps every commit over a power cut; `NORMAL` is faster, may lose the last.

    Raises:
        BadInput: `url` is no database URL, or `busy_timeout` is negative.
        MissingExtra: the driver is not installed.
        StorageUnavailable: the folder of a SQLite file does not exist.
    """
    if busy_timeout < 0:
        raise BadInput(f"`busy_timeout` must not be negative, got {busy_timeout!r}")
    timeouts = Timeouts.of(busy_timeout)
    engine = url if isinstance(url, Engine) else _new_engine(url, timeouts)
    with _opened_lock:
        if engine not in _opened:
            _opened[engine] = _Opened(os.getpid(), RLock())
            if is_sqlite(engine):
                _prepare_sqlite(engine, busy_timeout=busy_timeout, synchronous=synchronous)
                check_files(engine)
            else:
                check_options(engine)
                limit_server(engine, timeouts)
                if engine.dialect.name != "postgresql":
                    limit_packets(engine)
                ping_after_idling(engine)
    return engine


def close_engine(engine: Engine) -> None:
    """Close the connections of an engine; one that is in use, or is made later, is closed when it is returned.

    An abandoned agent may still use the engine, and SQLAlchemy would leave its connection open.
    """
    is_memory = isinstance(engine.pool, StaticPool)  # whose data is gone with its only connection
    if not is_memory and not event.contains(engine, "checkin", _close):
        event.listen(engine, "checkin", _close)
    engine.dispose()


def is_forked(engine: Engine) -> bool:
    """Return whether `engine` was first used in another process, of which this one is a fork."""
    return engine in _opened and _opened[engine].process != os.getpid()


def check_process(engine: Engine) -> None:
    """Raise `StorageUnavailable` in a forked process, where the connections of `engine` are those of its parent."""
    if is_forked(engine):
        raise StorageUnavailable(
            f"{place_of(engine)} was opened before this process was forked, and connections do not survive that; "
            "open it again in this process, as by SQLSaver.from_url(…) or Runner(…)"
        )


def is_sqlite(engine: Engine) -> bool:
    """Return whether `engine` opens a SQLite database."""
    return engine.dialect.name == "sqlite"


@contextmanager
def read_transaction(engine: Engine, *, thread_id: str | None = None) -> Generator[Connection]:
    """Yield a connection in a read-only transaction with a consistent view; faults become typed errors."""
    check_process(engine)
    with (
        translate_errors(thread_id, engine=engine),
        _transaction_lock(engine, only_memory=True),
        engine.connect() as connection,
    ):
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")
        elif not is_sqlite(engine):  # for this transaction alone, which a pooled connection need not take back
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield connection


@contextmanager
def write_transaction(engine: Engine, *, thread_id: str | None = None) -> Generator[Connection]:
    """Yield a connection in one transaction, committed at the end of the block, rolled back by any exception.

    On SQLite the transaction takes the write lock at once (`BEGIN IMMEDIATE`), so no lock makes it fail half-way.
    """
    check_process(engine)
    with (
        translate_errors(thread_id, engine=engine),
        _transaction_lock(engine),
        engine.connect() as connection,
        connection.execution_options(**{_WRITES: True}).begin(),
    ):
        _check_transactions(connection)
        yield connection
        check_file(engine, connection.info)


def _check_transactions(connection: Connection) -> None:
    """Raise `BadInput` where a server would commit each statement by itself, so that nothing could be rolled back."""
    if is_sqlite(connection.engine):
        return
    driver: Any = connection.connection.driver_connection
    if driver.get_autocommit() if hasattr(driver, "get_autocommit") else getattr(driver, "autocommit", False):
        raise BadInput(
            f"the engine of {place_of(connection.engine)} commits each statement by itself, so that half of a "
            "checkpoint could be stored; create it without isolation_level='AUTOCOMMIT'"
        )


def _transaction_lock(engine: Engine, *, only_memory: bool = False) -> AbstractContextManager[object]:
    """Return the lock of a SQLite engine; other databases need none, nor do reads of a SQLite file."""
    if not is_sqlite(engine) or (only_memory and not isinstance(engine.pool, StaticPool)):
        return nullcontext()
    return _opened[engine_of(engine)].lock


def _close(_connection: object, record: ConnectionPoolEntry) -> None:
    record.close()


def _new_engine(url: str, timeouts: Timeouts) -> Engine:
    address = _address_of(url)
    if address.get_backend_name() != "sqlite":
        limits = connect_arguments(address, timeouts)
        try:
            return create_engine(address, hide_parameters=True, connect_args=limits, pool_timeout=timeouts.answer)
        except ValueError as error:  # such as a number that is none
            raise refused_option(error) from error
    arguments = {"check_same_thread": False}
    if _in_memory(address):
        return create_engine(address, hide_parameters=True, connect_args=arguments, poolclass=StaticPool)
    path = Path((address.database or "").removeprefix("file:"))
    if not path.parent.is_dir():
        raise StorageUnavailable(
            f"cannot open {str(path)!r}: the folder {str(path.parent)!r} does not exist; create it"
        )
    if path.is_dir():
        raise StorageUnavailable(f"cannot open {str(path)!r}: it is a folder; name a file in it")
    return create_engine(address, hide_parameters=True, connect_args=arguments)


def _address_of(url: str) -> URL:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadInput(
            "the database address is not a URL; write `sqlite:///runs.db` or `postgresql://user@host/name`"
        ) from error
    if address.get_backend_name() == "sqlite":
        return address
    try:
        name, package, extra = _DRIVERS[address.drivername]
    except KeyError:
        known = "sqlite, postgresql, mysql, mariadb"
        raise BadInput(f"no support for {address.drivername!r} databases; use one of {known}") from None
    if find_spec(package) is None:
        raise MissingExtra(package, extra=extra, needed_for=f"a {address.get_backend_name()} database")
    return address.set(drivername=name)


def _in_memory(address: URL) -> bool:
    name = address.database or ""
    return name in {"", ":memory:"} or "mode=memory" in name or address.query.get("mode") == "memory"


def _prepare_sqlite(engine: Engine, *, busy_timeout: float, synchronous: Synchronous) -> None:
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun by `begin` below, not by the driver
        connection.text_factory = _text  # text that was damaged must not hide the rows beside it
        connection.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
        _choose_wal(connection, patience=busy_timeout)
        connection.execute("PRAGMA synchronous = FULL" if synchronous == "FULL" else "PRAGMA synchronous = NORMAL")

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        driver: Any = connection.connection.driver_connection
        driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", begin)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _choose_wal(connection: sqlite3.Connection, *, patience: float) -> None:
    """Switch the file to write-ahead logging once; several processes may try that at the same moment."""
    until = time.monotonic() + patience
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in {"wal", "memory"}:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY:
                return  # a read-only database may still be read; the first write raises an error
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.01)
