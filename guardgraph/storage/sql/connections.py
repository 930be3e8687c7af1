"""Whether a pooled connection can still be used: the server may have dropped it, its file may be another one now."""

from __future__ import annotations

import os
import select
import sqlite3
from collections.abc import MutableMapping
from time import monotonic
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from guardgraph.state import StorageUnavailable

__all__ = ("check_file", "check_files", "current_schemas", "file_of", "ping_after_idling")

current_schemas: WeakSet[Engine] = WeakSet()
"""The engines whose database was found to have the schema of this guardgraph."""

_Identity = tuple[int, int]

_IDLE = 5.0
"""Seconds after which a connection is tried before it is used again."""
_RETURNED = "guardgraph_returned"
_FILE = "guardgraph_file"
_LOG = "guardgraph_log"


def ping_after_idling(engine: Engine) -> None:
    """Try a connection of a server before it is used again, if it was idle for seconds, or has something to read.

    A server that drops an idle connection sends a message, or closes it; both can be read, and polling costs no round
    trip.
    """

    def returned(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info[_RETURNED] = monotonic()

    def taken(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        since = record.info.get(_RETURNED)
        if since is None or (monotonic() - since < _IDLE and not _has_news(connection)):
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:  # whatever the driver raises: a new connection shows what is wrong
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", taken)


def _has_news(connection: Any) -> bool:
    """Return whether there is something to read: nothing was asked, so it is a message of the server, or the end."""
    try:
        number = connection.fileno() if hasattr(connection, "fileno") else connection._sock.fileno()
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))
    except Exception:  # closed, another driver, or a system without poll
        return True


def check_files(engine: Engine) -> None:
    """Refuse a SQLite file that was deleted or replaced while it was open; writes would be lost with the old file.

    A file that was deleted can be put back. One that was replaced is refused once; then the new one is opened.
    """
    known: dict[str, _Identity | None] = {}

    def connecting(*_: object) -> None:
        for path in known:
            if _identity(path) is None:
                raise _lost(engine, path, None)

    def opened(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if path:
            record.info[_FILE] = path, known.setdefault(path, _identity(path))

    def taken(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        try:
            check_file(engine, record.info)
        except StorageUnavailable as error:
            path, mine = record.info[_FILE]
            is_reported, known[path] = known[path] != mine, _identity(path) or mine
            if is_reported:
                raise InvalidatePoolError from error
            raise

    event.listen(engine, "do_connect", connecting)
    event.listen(engine, "connect", opened)
    event.listen(engine, "checkout", taken)


def file_of(engine: Engine) -> str:
    """Return the absolute path of an engine's SQLite file, links resolved; empty for a database in memory."""
    with engine.connect() as connection:
        path, _ = connection.info.get(_FILE, ("", None))
    return path


def check_file(engine: Engine, info: MutableMapping[str, Any]) -> None:
    """Raise `StorageUnavailable` where the file of the connection with this `info` is not at its path any more.

    Nor may its write-ahead log be another one than at the first check: what is written to it would be lost.
    """
    path, mine = info.get(_FILE, ("", None))
    found = _identity(path) if path else None
    if found != mine:
        raise _lost(engine, path, found)
    log = _identity(f"{path}-wal") if path else None  # made at the first transaction, gone with the last connection
    if log != (info.get(_LOG) or log):
        raise StorageUnavailable(
            f"the write-ahead log '{path}-wal' was deleted or replaced while it was open, nothing was written; "
            "try again once all that uses the file has closed it"
        )
    info[_LOG] = log


def _lost(engine: Engine, path: str, found: _Identity | None) -> StorageUnavailable:
    current_schemas.discard(engine)
    what, remedy = ("replaced", "try again to use the new one") if found else ("deleted", "put it back")
    return StorageUnavailable(f"the file {path!r} was {what} while it was open, nothing was written; {remedy}")


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - of each transaction, so it is not made a `Path` each time
    except OSError:
        return None
    return found.st_dev, found.st_ino
