"""The faults of a database and its driver as typed errors."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from guardgraph.state import (
    NotADatabase,
    StorageBusy,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnavailable,
    TooLarge,
)

__all__ = ("is_database_fault", "place_of", "storage_fault_of", "translate_errors")

_SQLITE: dict[int, type[StorageError]] = {
    sqlite3.SQLITE_BUSY: StorageBusy,
    sqlite3.SQLITE_LOCKED: StorageBusy,
    sqlite3.SQLITE_READONLY: StorageReadOnly,
    sqlite3.SQLITE_PERM: StorageReadOnly,
    sqlite3.SQLITE_FULL: StorageFull,
    sqlite3.SQLITE_IOERR: StorageUnavailable,
    sqlite3.SQLITE_CANTOPEN: StorageUnavailable,
    sqlite3.SQLITE_CORRUPT: StorageCorrupt,
    sqlite3.SQLITE_NOTADB: NotADatabase,
}
# SQLSTATE codes, or their two-character classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATE: dict[str, type[StorageError]] = {
    "25006": StorageReadOnly,
    "25P03": StorageUnavailable,
    "42501": StorageReadOnly,
    "40001": StorageBusy,
    "40P01": StorageBusy,
    "55P03": StorageBusy,
    "57014": StorageBusy,
    "53100": StorageFull,
    "53200": StorageFull,
    "53300": StorageUnavailable,
    "08": StorageUnavailable,
    "28": StorageUnavailable,
    "3D": StorageUnavailable,
    "57P": StorageUnavailable,
    "XX": StorageCorrupt,
}
_REFUSED = (1040, 1042, 1043, 1044, 1045, 1049, 1053, 1129, 1130, 1152, 1184, 1203, 1226, 1698)
_LOST = (*range(1158, 1162), 1927, 2002, 2003, 2005, 2006, 2013, 2014, 2027, 2055)
# https://mariadb.com/kb/en/mariadb-error-codes/ and MySQL's own beside it; their SQLSTATE is mostly HY000
_MYSQL: dict[type[StorageError], tuple[int, ...]] = {
    StorageBusy: (1205, 1206, 1213, 1317, 1969, 3024, 3572, 4031),
    StorageReadOnly: (1036, 1142, 1143, 1227, 1290, 1792, 1836, 3100),
    StorageFull: (1021, 1037, 1038, 1041, 1114),
    StorageUnavailable: (*_REFUSED, *_LOST),
    StorageCorrupt: (1034, 1035, 1194, 1195, 1712),
    TooLarge: (1153, 1301),
}
_MYSQL_FAMILIES = {number: family for family, numbers in _MYSQL.items() for number in numbers}
_ADVICE: dict[type[StorageError], str] = {
    StorageBusy: "is locked by another writer, or was too slow; try again",
    StorageReadOnly: "cannot be written; fix its permissions",
    StorageFull: "is full; free some space",
    StorageUnavailable: "cannot be reached or opened; check that it exists and runs",
    StorageCorrupt: "is damaged; restore it from a copy",
    TooLarge: "got a statement above its `max_allowed_packet`; raise that, or keep large data out of the state",
    NotADatabase: "is no SQLite database; name another file, or one that does not exist yet",
    StorageError: "refused a statement",
}


def place_of(engine: Engine) -> str:
    """Return the address of `engine`'s database as it may appear in a message: without its password."""
    return engine.url.render_as_string(hide_password=True)


def is_database_fault(error: BaseException) -> bool:
    """Return whether SQLAlchemy, SQLite or psycopg has raised this."""
    is_driver = type(error).__module__.partition(".")[0] == "psycopg"
    return is_driver or isinstance(error, SQLAlchemyError | sqlite3.Error)


def storage_fault_of(error: Exception, *, place: str = "the database", thread_id: str | None = None) -> StorageError:
    """Return the typed error for a fault of SQLAlchemy or of a database driver; `place` is named in its message."""
    family = _family_of(error)
    cause = getattr(error, "orig", None) or error
    first_line = str(cause).strip().partition("\n")[0] or type(cause).__name__
    return family(f"{place} {_ADVICE[family]} ({type(cause).__name__}: {first_line})", thread_id=thread_id)


@contextmanager
def translate_errors(thread_id: str | None = None, *, engine: Engine | None = None) -> Generator[None]:
    """Turn a database fault raised inside the block into a `StorageError` that names the database and the thread."""
    try:
        yield
    except StorageError as error:
        error.thread_id = error.thread_id or thread_id
        raise
    except (SQLAlchemyError, sqlite3.Error) as error:
        place = "the database" if engine is None else place_of(engine)
        raise storage_fault_of(error, place=place, thread_id=thread_id) from error


def _family_of(error: Exception) -> type[StorageError]:
    if isinstance(error, PoolTimeout):
        return StorageBusy
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF, StorageError)
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        return StorageFull
    number: Any = next(iter(getattr(cause, "args", ())), None)
    if number in _MYSQL_FAMILIES:
        return _MYSQL_FAMILIES[number]
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        return next((_SQLSTATE[key] for key in (state, state[:3], state[:2]) if key in _SQLSTATE), StorageError)
    dropped = isinstance(error, DBAPIError) and error.connection_invalidated
    return StorageUnavailable if dropped or isinstance(error, OperationalError | InterfaceError) else StorageError
