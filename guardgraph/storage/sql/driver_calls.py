"""Statements that are compiled already, given to the driver without SQLAlchemy's own work on each."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

__all__ = ("call_driver", "pipeline", "run")

_T = TypeVar("_T")


def run(connection: Connection, text: str, given: Any, take: Callable[[Any], _T], *, many: bool = False) -> _T:
    """Run a statement with values as the driver takes them, and return what `take` returns for its cursor.

    With `many` it is run once for each of the values. A transaction begins as with any statement, and the listeners of
    the engine's events for cursors and executions are called. Raises what SQLAlchemy raises.
    """
    if not connection.in_transaction():
        connection.begin()
    with call_driver(connection, text):
        cursor: Any = connection.connection.cursor()
        try:
            _execute(connection, cursor, text, given, many=many)
            return take(cursor)
        finally:
            cursor.close()


@contextmanager
def call_driver(connection: Connection, text: str) -> Generator[None]:
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


@contextmanager
def pipeline(connection: Connection) -> Generator[None]:
    """Send statements whose results are not looked at in the block without waiting for each, where a driver can."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.driver != "psycopg" or not _can_pipeline():
        yield
        return
    with driver.pipeline():
        yield


def _can_pipeline() -> bool:
    from psycopg import Pipeline

    return Pipeline.is_supported()


def _execute(connection: Connection, cursor: Any, text: str, given: Any, *, many: bool) -> None:
    dialect: Any = connection.dialect
    for listener in connection.dispatch.before_cursor_execute:
        text, given = listener(connection, cursor, text, given, None, many)
    execute, listeners = (
        (dialect.do_executemany, dialect.dispatch.do_executemany)
        if many
        else (dialect.do_execute, dialect.dispatch.do_execute)
    )
    if not any(listener(cursor, text, given, None) for listener in listeners):
        execute(cursor, text, given, None)
    connection.dispatch.after_cursor_execute(connection, cursor, text, given, None, many)
