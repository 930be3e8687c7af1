"""The log of what happened in a run: collected in memory, stored with what else is committed, read by its number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, select

from guardgraph.state import RunEvent, StorageCorrupt, StoredEvent
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import engine_of, read_transaction
from guardgraph.storage.sql.event_table import events
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id, digest_of
from guardgraph.storage.sql.prepared import Prepared

__all__ = ("EventLog", "EventStore", "copy_events", "event_damage")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DIGEST = 16
_LARGEST = 1_000_000
"""Bytes of one row, as far as a single event is not larger: a database may refuse larger statements."""
_ROWS = 100
"""How many rows are read at once."""

_add = Prepared(lambda _: events.insert())
_last = Prepared(
    lambda _: select(func.max(events.c.upto)).where(
        events.c.tenant == bindparam("of_tenant"), events.c.run_id == bindparam("of_run")
    )
)


class EventLog:
    """Stores the events of one attempt at a run, whose lease makes this process the only one that adds any.

    They are stored with the next commit of the run, or by `store`; those since the last commit are lost in a crash.
    """

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        run_id: str,
        *,
        tenant: str,
        fence: Fence | None = None,
        is_new: bool = False,
    ) -> None:
        """Add to what is stored of a tenant's run; one that `is_new` has nothing yet. Writes are checked by `fence`.

        The cipher of `codec` encrypts them.
        """
        self.run_id, self.tenant = checked_id("run_id", run_id), checked_id("tenant", tenant)
        self._codec, self._fence = codec, fence
        self._commits = group_commit_of(engine_of(engine))
        self._lock = Lock()
        self._upto = 0 if is_new else None
        """The number of the last one that is stored; `None` where that is not known."""
        self._committed = self._upto
        """The same as it was after the last commit that is known to have succeeded."""
        self._unstored: list[str] = []
        self._storing: list[str] = []

    def add(self, event: RunEvent) -> None:
        """Add an event; it never fails and never waits for the database."""
        at = (event.at - _EPOCH) // _MICROSECOND
        packed = json.dumps([event.kind, at, event.path, event.data], separators=(",", ":"))
        with self._lock:
            self._unstored.append(packed)

    def store(self) -> None:
        """Store what was added, and wait for what another thread is storing."""
        with self._lock:
            is_stored = not (self._unstored or self._storing)
        if not is_stored:
            self._commits.write(self._write_fenced, after=self.written, joins=True, fence=self._fence)

    def write_changes(self, connection: Connection) -> None:
        """Write what was added, in a transaction of the caller's, who calls `written` after it."""
        with self._lock:
            added, self._unstored = self._unstored, []
            if not added:
                return
            self._storing += added
        is_known, upto = self._upto is not None, self._stored_upto(connection)
        repeated = 0 if is_known else max(upto - (self._committed or 0), 0)
        rows: list[dict[str, Any]] = []
        for some in _in_rows(added[repeated:]):
            upto += len(some)
            packed = f"[{','.join(some)}]".encode("ascii")
            rows.append(_row(self._codec, self.tenant, self.run_id, upto, packed))
        if rows:
            _add.each(connection, rows)
        self._upto = upto

    def written(self, is_committed: bool, /) -> None:  # noqa: FBT001 - `GroupCommit` calls it
        """Note whether what was written last is committed; else it is written again.

        A commit whose answer was lost may have succeeded: what is found to be stored is not written again.
        """
        with self._lock:
            if is_committed:
                self._committed = self._upto
            else:
                self._unstored[:0], self._upto = self._storing, None
            self._storing = []

    def _write_fenced(self, connection: Connection) -> None:
        if self._fence is not None:
            self._fence.check(connection)
        self.write_changes(connection)

    def _stored_upto(self, connection: Connection) -> int:
        if self._upto is not None:
            return self._upto
        found = _last.first(connection, {"of_tenant": self.tenant, "of_run": self.run_id})
        upto = (found[0] if found else None) or 0
        if self._committed is None:
            self._committed = upto
        return upto


class EventStore:
    """Reads the events of a tenant's runs."""

    def __init__(self, engine: Engine, codec: Codec, *, tenant: str) -> None:
        """Use an engine that the caller owns; `codec` has the cipher that they were encrypted with."""
        self._engine, self._codec, self._tenant = engine_of(engine), codec, checked_id("tenant", tenant)

    def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[StoredEvent]:
        """Return up to `limit` events of a run, oldest first: those with a number above `after`.

        Raises:
            StorageCorrupt: a row is damaged, or missing among others; it names the column `events`.
        """
        found: list[StoredEvent] = []
        with read_transaction(migrate(self._engine)) as connection:
            for event in _events_of(connection, self._codec, self._tenant, run_id, after):
                if limit is not None and len(found) >= limit:
                    break
                found.append(event)
        return found


def copy_events(connection: Connection, codec: Codec, tenant: str, run_id: str, new_run: str) -> None:
    """Copy the events of a run to those of another one, which has none."""
    for row in _rows_of(connection, tenant, run_id, 0):
        _add(connection, _row(codec, tenant, new_run, row.upto, _unpacked(codec, tenant, run_id, row)))


def event_damage(connection: Connection, codec: Codec, tenant: str, run_id: str) -> StorageCorrupt | None:
    """Return the error that reading the events of a run raises, if any."""
    try:
        for _ in _events_of(connection, codec, tenant, run_id, 0):
            pass
    except StorageCorrupt as error:
        return error
    return None


def _in_rows(packed: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield some packed events after the other, each as many as one row holds."""
    first = size = 0
    for at, one in enumerate(packed):
        if at > first and size + len(one) > _LARGEST:
            yield packed[first:at]
            first, size = at, 0
        size += len(one) + 1
    if packed:
        yield packed[first:]


def _events_of(connection: Connection, codec: Codec, tenant: str, run_id: str, after: int) -> Iterator[StoredEvent]:
    before: int | None = None
    for row in _rows_of(connection, tenant, checked_id("run_id", run_id), after):
        found: list[list[Any]] = json.loads(_unpacked(codec, tenant, run_id, row))
        first = row.upto - len(found) + 1
        if (first > after + 1) if before is None else (first != before + 1):
            raise _damage(run_id, f"those before number {first} are missing")
        before = row.upto
        for number, (kind, at, path, data) in enumerate(found, first):
            if number > after:
                when = _EPOCH + at * _MICROSECOND
                yield StoredEvent(kind=kind, run_id=run_id, at=when, path=tuple(path), data=data, number=number)


def _rows_of(connection: Connection, tenant: str, run_id: str, after: int) -> Iterator[Any]:
    """Yield the rows of a run that hold events with numbers above `after`, a few at a time."""
    mine = (events.c.tenant == tenant, events.c.run_id == run_id)
    while True:
        found = select(events).where(*mine, events.c.upto > after).order_by(events.c.upto).limit(_ROWS)
        rows: Sequence[Any] = connection.execute(found).all()
        yield from rows
        if len(rows) < _ROWS:
            return
        after = rows[-1].upto


def _row(codec: Codec, tenant: str, run_id: str, upto: int, packed: bytes) -> dict[str, Any]:
    content = codec.seal(packed, _context(tenant, run_id))
    seal = digest_of(b"event", tenant, run_id, str(upto), content)
    return {"tenant": tenant, "run_id": run_id, "upto": upto, "data": seal + content}


def _unpacked(codec: Codec, tenant: str, run_id: str, row: Any) -> bytes:
    data = bytes(row.data)
    seal, content = data[:_DIGEST], data[_DIGEST:]
    if seal != digest_of(b"event", tenant, run_id, str(row.upto), content):
        raise _damage(run_id, f"those up to number {row.upto} are not what was stored")
    return codec.unseal(content, _context(tenant, run_id))


def _context(tenant: str, run_id: str) -> bytes:
    return digest_of(b"events", tenant, run_id)


def _damage(run_id: str, reason: str) -> StorageCorrupt:
    what = f"the events of run {run_id!r} are damaged in 'events': {reason}; restore the database from a copy"
    return StorageCorrupt(what, column="events")
