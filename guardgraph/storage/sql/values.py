"""Shared values in a SQL database, known to every process that uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from json import dumps, loads
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, Engine, delete, select, update

from guardgraph.state import StorageCorrupt
from guardgraph.state.argument_checks import check_count
from guardgraph.storage.shared_values import Change, ValueKind
from guardgraph.storage.sql.database_clock import DatabaseNow
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id, digest_of
from guardgraph.storage.sql.statements import insert_new
from guardgraph.storage.sql.value_table import shared_values as _table

__all__ = ("SQLValues",)

_MICROSECONDS = 1_000_000
_EMPTY = b"null"
"""The data of a name that has no value yet."""


class SQLValues:
    """Implements `SharedValues` in SQLite, PostgreSQL, MariaDB or MySQL. Every method blocks for one transaction.

    The rows of a change are locked in the order of their keys, so that changes cannot deadlock; the time is that of the
    database. The values of one tenant are apart from those of another.
    """

    blocks = True

    def __init__(self, engine: Engine, *, tenant: str) -> None:
        """Use an engine, as `engine_of` makes one, which the caller disposes of; tables are made at the first use."""
        self.engine = engine_of(engine)
        self._tenant = checked_id("tenant", tenant)
        self._known: set[bytes] = set()

    def update(self, kind: ValueKind, names: Collection[str], change: Change) -> None:
        """See `SharedValues.update`."""
        keys = {self._key(kind, name): name for name in names}
        if not keys:
            return
        if not self._known.issuperset(keys) or not self._changed(kind, keys, change):
            self._insert(kind, keys)
            self._changed(kind, keys, change, is_last=True)

    def read(
        self,
        kind: ValueKind,
        names: Collection[str] | None = None,
        *,
        limit: int = 1_000,
        damaged: dict[str, StorageCorrupt] | None = None,
    ) -> dict[str, JsonValue]:
        """See `SharedValues.read`."""
        check_count("limit", limit)
        mine = (_table.c.tenant == self._tenant, _table.c.kind == kind, _table.c.data != _EMPTY)
        found = select(_table).where(*mine).order_by(_table.c.changed.desc(), _table.c.value)
        if names is not None:
            found = found.where(_table.c.value.in_([self._key(kind, name) for name in names]))
        else:
            found = found.limit(limit)
        with read_transaction(migrate(self.engine)) as connection:
            rows = connection.execute(found).all()
        values = dict[str, JsonValue]()
        for row in rows:
            name = bytes(row.name).decode("utf-8", "surrogatepass")
            try:
                values[name] = _value_of(row)
            except StorageCorrupt as error:
                if damaged is None:
                    raise
                damaged[name] = error
        return values

    def forget(self, kind: ValueKind, name: str) -> bool:
        """See `SharedValues.forget`."""
        mine = (_table.c.tenant == self._tenant, _table.c.value == self._key(kind, name))
        with write_transaction(migrate(self.engine)) as connection:
            row = connection.execute(select(_table.c.data).where(*mine).with_for_update()).one_or_none()
            connection.execute(delete(_table).where(*mine))
        return row is not None and bytes(row.data) != _EMPTY

    def now(self) -> float:
        """See `SharedValues.now`."""
        with read_transaction(migrate(self.engine)) as connection:
            return _now(connection)

    def _insert(self, kind: ValueKind, keys: Mapping[bytes, str]) -> None:
        """Make the rows of names that have none, in a transaction of their own: one that also locks could deadlock."""
        same = {"tenant": self._tenant, "kind": kind, "data": _EMPTY, "changed": 0}
        rows = [{"value": key, "name": keys[key].encode("utf-8", "surrogatepass"), **same} for key in sorted(keys)]
        with write_transaction(migrate(self.engine)) as connection:
            connection.execute(insert_new(connection.dialect, _table), rows)
        self._known.update(keys)

    def _changed(self, kind: ValueKind, keys: Mapping[bytes, str], change: Change, *, is_last: bool = False) -> bool:
        """Change the values of some names; return whether all have a row, without which nothing is changed."""
        mine = (_table.c.tenant == self._tenant, _table.c.value.in_([*keys]))
        locked = select(_table).where(*mine).order_by(_table.c.value).with_for_update()
        with write_transaction(migrate(self.engine)) as connection:
            rows = {bytes(row.value): row for row in connection.execute(locked)}
            if len(rows) < len(keys) and not is_last:  # it was forgotten, perhaps by another process
                return False
            now = _now(connection)
            there = {keys[key]: _value_of(row) for key, row in rows.items() if bytes(row.data) != _EMPTY}
            for name, value in change(there, now).items():
                self._store(connection, self._key(kind, name), value, now)
        return True

    def _store(self, connection: Connection, key: bytes, value: JsonValue, now: float) -> None:
        mine = (_table.c.tenant == self._tenant, _table.c.value == key)
        data = {"data": dumps(value, separators=(",", ":")).encode(), "changed": int(now * _MICROSECONDS)}
        connection.execute(update(_table).where(*mine).values(data))

    def _key(self, kind: ValueKind, name: str) -> bytes:
        return digest_of(self._tenant, kind, name)


def _now(connection: Connection) -> float:
    return int(connection.execute(select(DatabaseNow())).scalar_one()) / _MICROSECONDS


def _value_of(row: Any) -> JsonValue:
    """Return the value of a row. Raises `StorageCorrupt` where it is none."""
    try:
        return loads(bytes(row.data))
    except (ValueError, RecursionError) as error:
        name = bytes(row.name).decode("utf-8", "replace")
        raise StorageCorrupt(f"the shared value {name!r} is damaged: {error}") from error
