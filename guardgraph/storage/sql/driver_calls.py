"""Statements that are compiled already, given to the driver without SQLAlchemy's own work on each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

__all__ = ("run", "run_together")

_T = TypeVar("_T")


def run(connection: Connection, text: str, given: Any, take: Callable[[Any], _T], *, many: bool = False) -> _T:
    """Run a statement with values as the driver takes them, and return what `take` returns for its cursor.

    With `many` it is run once for each of the values. A transaction begins as with any statement, and the listeners of
    the engine's events for cursors and executions are called. Raises what SQLAlchemy raises.
    """
    with _driver_errors(connection, text), ExitStack() as cursors:
        return take(_executed(connection, cursors, text, given, many=many))


def run_together(connection: Connection, given: Mapping[str, list[Any]]) -> dict[str, int]:
    """Run statements, each with all its values, and return how many rows each has changed.

    A driver that can sends them without waiting for the answer to each.
    """
    with _driver_errors(connection, "; ".join(given)), ExitStack() as opened:
        with _pipeline(connection) if len(given) > 1 else nullcontext():
            cursors = {
                text: _executed(
                    connection, opened, text, values if len(values) > 1 else values[0], many=len(values) > 1
                )
                for text, values in given.items()
            }
        return {text: cursor.rowcount for text, cursor in cursors.items()}


def _executed(connection: Connection, opened: ExitStack, text: str, given: Any, *, many: bool) -> Any:
    """Return the cursor of a statement, which is closed with `opened`, also where the statement fails."""
    if not connection.in_transaction():
        connection.begin()
    dialect: Any = connection.dialect
    cursor: Any = connection.connection.cursor()
    opened.callback(_closed, cursor)
    for before in connection.dispatch.before_cursor_execute:
        text, given = before(connection, cursor, text, given, None, many)
    execute, instead = (
        (dialect.do_executemany, dialect.dispatch.do_executemany)
        if many
        else (dialect.do_execute, dialect.dispatch.do_execute)
    )
    if not any(handles(cursor, text, given, None) for handles in instead):
        execute(cursor, text, given, None)
    connection.dispatch.after_cursor_execute(connection, cursor, text, given, None, many)
    return cursor


def _closed(cursor: Any) -> None:
    """Close a cursor; that of a connection which is closed may refuse."""
    with suppress(Exception):
        cursor.close()


def _pipeline(connection: Connection) -> AbstractContextManager[object]:
    if connection.dialect.driver != "psycopg":
        return nullcontext()
    from psycopg import Pipeline

    driver: Any = connection.connection.driver_connection
    return driver.pipeline() if Pipeline.is_supported() else nullcontext()


@contextmanager
def _driver_errors(connection: Connection, text: str) -> Generator[None]:
    """Raise the errors of a driver as SQLAlchemy does; a connection that is lost is not used again."""
    dialect: Any = connection.dialect
    try:
        yield
    except dialect.dbapi.Error as error:
        is_lost = not connection.closed and dialect.is_disconnect(error, None, None)
        if is_lost and not connection.invalidated:
            connection.invalidate(error)
        raise DBAPIError.instance(
            text,
            None,
            error,
            dialect.dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=dialect,
        ) from error
