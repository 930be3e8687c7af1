"""Calls to a database that fail: any of them once, with an error that the driver of the database might raise."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from sqlalchemy import Engine, event

__all__ = ("KINDS", "FailingCalls", "failing_calls")

KINDS = ("disconnect", "lost answer", "busy", "full", "read-only", "refused")
"""`lost answer`: the statement or commit was done, and then the connection broke. It is a disconnect, too."""


def _sqlite(kind: str) -> Exception:
    codes = {
        "busy": sqlite3.SQLITE_BUSY,
        "full": sqlite3.SQLITE_FULL,
        "read-only": sqlite3.SQLITE_READONLY,
        "refused": sqlite3.SQLITE_CONSTRAINT,
    }
    error = sqlite3.IntegrityError if kind == "refused" else sqlite3.OperationalError
    made = error(f"{kind}, by the test")
    made.sqlite_errorcode = codes.get(kind, sqlite3.SQLITE_IOERR)
    return made


def _psycopg(kind: str) -> Exception:
    from psycopg import errors

    kinds = {
        "busy": errors.LockNotAvailable,
        "full": errors.DiskFull,
        "read-only": errors.ReadOnlySqlTransaction,
        "refused": errors.UniqueViolation,
    }
    return kinds.get(kind, errors.AdminShutdown)(f"{kind}, by the test")


def _pymysql(kind: str) -> Exception:
    from pymysql import err

    numbers = {"busy": 1205, "full": 1114, "read-only": 1290, "refused": 1062}
    error = err.IntegrityError if kind == "refused" else err.OperationalError
    return error(numbers.get(kind, 2013), f"{kind}, by the test")


_ERRORS: dict[str, Callable[[str], Exception]] = {"sqlite": _sqlite, "postgresql": _psycopg, "mariadb": _pymysql}


@dataclass(slots=True)
class FailingCalls:
    """The statements and commits of an engine; from `begin` on they are counted, and one of them fails."""

    error_of: Callable[[str], Exception]
    count: int = 0
    fails_at: int = -1
    kind: str = ""
    failed: str = ""
    """The call that has failed."""

    def begin(self, fails_at: int, kind: str) -> None:
        """Count from zero, and let one call fail; none if `fails_at` is negative."""
        self.count, self.fails_at, self.kind, self.failed = 0, fails_at, kind, ""

    def make(self, lock: Lock, call: str, connection: Any, work: Callable[[], Any]) -> Any:
        """Make a call, or let it fail."""
        with lock:
            fails, self.count = self.count == self.fails_at, self.count + 1
        if not fails:
            return work()
        self.failed = " ".join(call.split()[:3])
        if self.kind == "lost answer":
            work()
        driver = getattr(connection, "driver_connection", connection)  # what a pool returns would go back into it
        if self.kind in ("disconnect", "lost answer") and not isinstance(driver, sqlite3.Connection):
            driver.close()
        raise self.error_of(self.kind)


@contextmanager
def failing_calls(engine: Engine) -> Generator[FailingCalls]:
    """Make the calls of an engine ones that can fail."""
    calls, lock = FailingCalls(_ERRORS[engine.dialect.name]), Lock()
    dialect: Any = engine.dialect
    commit = dialect.do_commit

    def execute(cursor: Any, statement: str, parameters: Any, _context: Any = None) -> bool:
        if statement.startswith(("BEGIN", "ROLLBACK")):
            return False  # of the driver, or to be followed by a statement
        calls.make(lock, statement, cursor.connection, lambda: cursor.execute(statement, parameters))
        return True

    def execute_many(cursor: Any, statement: str, parameters: Any, _context: Any = None) -> bool:
        calls.make(lock, statement, cursor.connection, lambda: cursor.executemany(statement, parameters))
        return True

    def commit_or_fail(connection: Any) -> None:
        calls.make(lock, "COMMIT", connection, lambda: commit(connection))

    event.listen(engine, "do_execute", execute)
    event.listen(engine, "do_executemany", execute_many)
    dialect.do_commit = commit_or_fail
    try:
        yield calls
    finally:
        dialect.do_commit = commit
        event.remove(engine, "do_execute", execute)
        event.remove(engine, "do_executemany", execute_many)
