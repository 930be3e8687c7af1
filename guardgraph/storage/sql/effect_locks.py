"""Locks of keys that end with the process that holds them, by what each database has for that."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from guardgraph.storage.sql.connections import file_of
from guardgraph.storage.sql.engine import check_process, is_sqlite
from guardgraph.storage.sql.errors import translate_errors
from guardgraph.storage.sql.places import digest_of

__all__ = ("KeyLocks",)

_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None
_files: dict[str, int] = {}
"""The open lock files of this process; to close one would release all its locks, whoever holds them."""
_held: set[tuple[str, bytes]] = set()
"""What this process holds; locks of files are those of a process, not of a thread."""
_guard = Lock()


class KeyLocks:
    """Locks among the processes that use the database of `engine`; taking one never waits.

    PostgreSQL and MariaDB lock for a session: one connection of the pool is in use while any lock is held. For SQLite
    a byte of the file `<database>-effects` is locked; where the system has no such locks, and for a database in memory,
    a lock holds within this process alone.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found_place: str | None = None
        self._session: Connection | None = None
        self._session_guard = Lock()
        self._keys: set[bytes] = set()
        """What the session holds."""

    def lock(self, key: bytes) -> bool:
        """Lock `key` and return whether that was possible."""
        check_process(self._engine)
        mine, is_taken = (self._place, key), False
        with _guard:
            if mine in _held:
                return False
            _held.add(mine)
        try:
            is_taken = self._lock_byte(key) if is_sqlite(self._engine) else self._take(key)
        finally:
            if not is_taken:
                _held.discard(mine)
        return is_taken

    def unlock(self, key: bytes) -> None:
        """Release the lock of `key`."""
        if is_sqlite(self._engine):
            self._lock_byte(key, release=True)
        else:
            self._release(key)
        _held.discard((self._place, key))

    @property
    def _place(self) -> str:
        """The database, under the same name for all who use it: a file can be opened by many paths."""
        if self._found_place is None:
            with translate_errors(engine=self._engine):
                file = file_of(self._engine) if is_sqlite(self._engine) else ""
            self._found_place = file or f"{self._engine.url} {id(self._engine)}"
        return self._found_place

    def _take(self, key: bytes) -> bool:
        with self._session_guard, translate_errors(engine=self._engine):
            try:
                if self._session is None:
                    self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                is_taken = bool(self._session.execute(_taking(self._session, key)).scalar())
            except DBAPIError:
                self._drop_session()
                raise
            if is_taken:
                self._keys.add(key)
            self._leave_idle_session()
            return is_taken

    def _release(self, key: bytes) -> None:
        """Release a lock of the session; where its connection is lost, the server has released it already."""
        with self._session_guard, suppress(DBAPIError):
            if self._session is None or key not in self._keys:
                return
            self._keys.discard(key)
            try:
                self._session.execute(_releasing(self._session, key))
            except DBAPIError:
                self._drop_session()
                raise
            self._leave_idle_session()

    def _leave_idle_session(self) -> None:
        if self._session is not None and not self._keys:
            self._session.close()
            self._session = None

    def _drop_session(self) -> None:
        """Close the connection itself after a fault: in the pool it could go on holding locks."""
        session, self._session = self._session, None
        self._keys.clear()
        if session is not None:
            session.invalidate()
            session.close()

    def _lock_byte(self, key: bytes, *, release: bool = False) -> bool:
        if _fcntl is None or isinstance(self._engine.pool, StaticPool):
            return True
        name = f"{self._place}-effects"
        if name not in _files:
            _files[name] = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        how = _fcntl.LOCK_UN if release else _fcntl.LOCK_EX | _fcntl.LOCK_NB
        try:
            _fcntl.lockf(_files[name], how, 1, int.from_bytes(key[:7]))
        except BlockingIOError:
            return False
        return True


def _taking(session: Connection, key: bytes) -> Any:
    if session.dialect.name == "postgresql":
        return select(func.pg_try_advisory_lock(_number(key)))
    return select(func.get_lock(_name(session, key), 0))


def _releasing(session: Connection, key: bytes) -> Any:
    if session.dialect.name == "postgresql":
        return select(func.pg_advisory_unlock(_number(key)))
    return select(func.release_lock(_name(session, key)))


def _number(key: bytes) -> int:
    return int.from_bytes(key[:8], signed=True)


def _name(session: Connection, key: bytes) -> str:
    """Return the name of a lock, which is one of the whole server."""
    return f"guardgraph_effect_{digest_of(session.engine.url.database or '', key).hex()}"
