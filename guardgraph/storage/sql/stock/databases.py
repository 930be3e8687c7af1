"""Databases of LangGraph's own savers, opened to be read: nothing in them is changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from guardgraph.state import BadInput, MissingExtra, StorageUnavailable
from guardgraph.storage.sql.errors import is_database_fault, storage_fault_of

__all__ = ("StockDatabase", "opened", "thread_ids")

_STATEMENTS = {
    "first thread": "SELECT min(thread_id) FROM checkpoints",
    "next thread": "SELECT min(thread_id) FROM checkpoints WHERE thread_id > ?",
    "namespaces": "SELECT DISTINCT checkpoint_ns FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_ns",
    "first ids": "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? "
    "ORDER BY checkpoint_id LIMIT ?",
    "next ids": "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id > ? "
    "ORDER BY checkpoint_id LIMIT ?",
    "writes": "SELECT task_path, task_id, idx, channel FROM writes "
    "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ?",
}
"""What no public method of a saver returns: which threads there are, and in which order tasks wrote."""


class StockDatabase(NamedTuple):
    """An open database of `SqliteSaver` or `PostgresSaver`."""

    saver: BaseCheckpointSaver[Any]
    place: str
    """Its address, as it may appear in a message."""
    select: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
    """Return the rows of one of the statements."""
    snapshot: Callable[[], AbstractContextManager[object]]
    """Begin a transaction in which nothing changes."""


@contextmanager
def opened(url: str, serializer: SerializerProtocol) -> Generator[StockDatabase]:
    """Open the database of a URL as LangGraph's saver for it does.

    Raises:
        BadInput: it is no URL of SQLite or PostgreSQL, or holds no tables of such a saver.
        MissingExtra: the saver's package is not installed.
        StorageError: or a subclass, where the database cannot be read.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:
        advice = "write `sqlite:///old.db` or `postgresql://user@host/name`"
        raise BadInput(f"the address of the threads to import is not a URL; {advice}") from error
    known = {"sqlite": _sqlite, "postgresql": _postgres, "postgres": _postgres}
    open_ = known.get(address.drivername.partition("+")[0])
    if open_ is None:
        raise BadInput(f"threads are imported from sqlite and postgresql, not from {address.drivername!r}")
    place = address.render_as_string(hide_password=True)
    with _typed_faults(place), open_(address, serializer, place) as database:
        yield database


def thread_ids(database: StockDatabase) -> Iterator[str]:
    """Yield the ids of all threads, in order."""
    ((thread,),) = database.select("first thread", ())
    while thread is not None:
        yield thread
        ((thread,),) = database.select("next thread", (thread,))


@contextmanager
def _sqlite(address: URL, serializer: SerializerProtocol, place: str) -> Generator[StockDatabase]:
    module = _module("langgraph.checkpoint.sqlite", "langgraph-checkpoint-sqlite")
    if not address.database or address.database == ":memory:":
        raise BadInput("a database in memory is gone with its process; name a file, as sqlite:///old.db")
    uri = Path(address.database).absolute().as_uri() + "?mode=ro"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    try:
        columns = {row[1] for row in connection.execute("SELECT * FROM pragma_table_info('writes')").fetchall()}
        if not columns >= {"thread_id", "task_path"}:
            raise BadInput(f"{place} holds no threads of SqliteSaver 2.0 or newer, which has a table `writes`")
        saver = module.SqliteSaver(connection, serde=serializer)
        saver.is_setup = True  # or it would create what is missing

        @contextmanager
        def snapshot() -> Generator[None]:
            connection.execute("BEGIN")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

        def select(name: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
            return connection.execute(_STATEMENTS[name], values).fetchall()

        yield StockDatabase(saver, place, select, snapshot)
    finally:
        connection.close()


@contextmanager
def _postgres(address: URL, serializer: SerializerProtocol, place: str) -> Generator[StockDatabase]:
    module = _module("langgraph.checkpoint.postgres", "langgraph-checkpoint-postgres")
    psycopg = _module("psycopg", "psycopg", extra="postgres")
    rows = import_module("psycopg.rows")
    conninfo = address.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = psycopg.Connection.connect(
            conninfo, autocommit=True, prepare_threshold=0, row_factory=rows.dict_row
        )
    except psycopg.OperationalError as error:
        raise StorageUnavailable(f"{place} cannot be reached or opened: {str(error).strip()}") from error
    with connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        statements = {
            name: text.replace("?", "%s").replace("FROM writes", "FROM checkpoint_writes")
            for name, text in _STATEMENTS.items()
        }

        def select(name: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
            with connection.cursor(row_factory=rows.tuple_row) as cursor:
                return cursor.execute(statements[name], values).fetchall()

        try:
            select("writes", ("", "", ""))
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise BadInput(f"{place} holds no threads of PostgresSaver 2.0.21 or newer: {error}") from error
        yield StockDatabase(module.PostgresSaver(connection, serde=serializer), place, select, connection.transaction)


@contextmanager
def _typed_faults(place: str) -> Generator[None]:
    """Turn a fault of the database that is read into a `StorageError`."""
    try:
        yield
    except Exception as error:
        if is_database_fault(error):
            raise storage_fault_of(error, place=place) from error
        raise


def _module(name: str, package: str, *, extra: str | None = None) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtra(package, extra=extra, needed_for="importing threads of LangGraph's own savers") from error
