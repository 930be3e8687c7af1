"""Events that are published to a thread, by anyone and without its lease; each is stored in a transaction of its own.

The number of an event is that of the one before and 1, and two that take the same number at once collide: the later
one waits for the other's commit, and tries again. So no event is ever stored below one that a reader has seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from time import sleep
from typing import Any, NamedTuple

from pydantic import StrictBool, TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine, bindparam, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from guardgraph.state import BadInput, Event, StorageBusy, StorageCorrupt, UnknownThread
from guardgraph.storage.published import PublishedEvent
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id, digest_of
from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.published_table import published, published_read
from guardgraph.storage.sql.statements import insert_or_replace
from guardgraph.storage.sql.tables import runs

__all__ = ("Publication", "PublishedStore", "ThreadEvents", "copy_published", "published_damage")

_DIGEST = 16
_TRIES = 200
"""How often a number is tried that others take at the same moment."""
_ROWS = 100
"""How many rows are copied at once."""
_DEADLOCKS = (1020, 1213)
"""The errors of MariaDB and MySQL where two transactions insert beside each other."""

_STORED = TypeAdapter(tuple[Event, StrictBool])

_add = Prepared(lambda _: published.insert())
_of_thread = (published.c.tenant == bindparam("of_tenant"), published.c.thread_id == bindparam("of_thread"))
_last = Prepared(lambda _: select(func.max(published.c.number).label("number")).where(*_of_thread))
_named = Prepared(lambda _: select(published).where(published.c.name == bindparam("of_name")))
_after = Prepared(
    lambda _: (
        select(published)
        .where(*_of_thread, published.c.number > bindparam("of_number"))
        .order_by(published.c.number)
        .limit(bindparam("of_limit"))
    )
)


class Publication(NamedTuple):
    """Where an event was stored."""

    number: int
    """Its place among the events that were published to its thread, counted from 1 without gaps."""
    is_new: bool
    """Whether it was stored now; one of the same source and id was stored before."""


class PublishedStore:
    """Stores and reads the events that are published to the threads of a tenant."""

    def __init__(self, engine: Engine, codec: Codec, *, tenant: str) -> None:
        """Use an engine that the caller owns; the cipher of `codec` encrypts what is stored."""
        self._engine, self._codec, self._tenant = engine_of(engine), codec, checked_id("tenant", tenant)

    def add(self, thread_id: str, event: Event, *, replays: bool = False) -> Publication:
        """Store an event, unless one of its source and id is stored.

        Raises:
            UnknownThread: no run was ever begun on the thread.
            BadInput: one of its source and id is stored that has another type, subject or other data.
            StorageBusy: others have taken each number that was tried.
        """
        checked_id("thread_id", thread_id)
        for _ in range(_TRIES):
            try:
                with write_transaction(migrate(self._engine), thread_id=thread_id) as connection:
                    return self._add(connection, thread_id, event, replays=replays)
            except _Collision:
                sleep(0.002)
        raise StorageBusy(f"event {event.ref!r} was not stored: others publish to thread {thread_id!r} all the time")

    def after(self, thread_id: str, number: int, limit: int) -> list[PublishedEvent]:
        """Return up to `limit` events of a thread with a number above this one, in order.

        Raises:
            StorageCorrupt: a row is damaged, or one before it is missing.
        """
        values = {"of_tenant": self._tenant, "of_thread": thread_id, "of_number": number, "of_limit": limit}
        with read_transaction(migrate(self._engine), thread_id=thread_id) as connection:
            rows = _after.rows(connection, values)
        found: list[PublishedEvent] = []
        for expected, row in enumerate(rows, number + 1):
            if row.number != expected:
                raise _damage(thread_id, f"number {expected} is missing")
            found.append(_event_of(self._codec, self._tenant, thread_id, row))
        return found

    def last(self, thread_id: str) -> int:
        """Return the number of the latest event of a thread; 0 where there is none."""
        with read_transaction(migrate(self._engine), thread_id=thread_id) as connection:
            return _last_number(connection, self._tenant, thread_id)

    def note_read(self, thread_id: str, number: int) -> None:
        """Note up to which number the log of a thread has its events, so that `unread_threads` passes it over."""
        row = {"tenant": self._tenant, "thread_id": thread_id, "number": number}
        with write_transaction(migrate(self._engine), thread_id=thread_id) as connection:
            connection.execute(insert_or_replace(connection.dialect, published_read), row)

    def unread_threads(self) -> list[str]:
        """Return the threads with events above the number that was noted last, sorted."""
        on = (published_read.c.tenant == published.c.tenant) & (published_read.c.thread_id == published.c.thread_id)
        threads = select(published.c.thread_id).distinct().outerjoin_from(published, published_read, on)
        unread = published.c.number > func.coalesce(published_read.c.number, 0)
        with read_transaction(migrate(self._engine)) as connection:
            found = connection.execute(threads.where(published.c.tenant == self._tenant, unread))
            return sorted(found.scalars())

    def _add(self, connection: Connection, thread_id: str, event: Event, *, replays: bool) -> Publication:
        name = _name_of(self._tenant, thread_id, event, replays=replays)
        stored = _named.first(connection, {"of_name": name})
        if stored is not None:
            before = _event_of(self._codec, self._tenant, thread_id, stored).event
            if not replays and not event.is_same(before):
                what = f"an event {event.ref!r} was published with other content; give this one an id of its own"
                raise BadInput(what)
            return Publication(stored.number, is_new=False)
        number = _last_number(connection, self._tenant, thread_id) + 1
        if number == 1:
            self._check_known(connection, thread_id)
        packed = json.dumps([event.model_dump(mode="json", exclude_defaults=True), replays], ensure_ascii=True)
        row = _row(self._codec, self._tenant, thread_id, number, name, packed.encode("ascii"))
        try:
            _add(connection, row)
        except DBAPIError as error:
            arguments: tuple[object, ...] = getattr(error.orig, "args", ())
            if isinstance(error, IntegrityError) or any(one in arguments[:1] for one in _DEADLOCKS):
                raise _Collision from error
            raise
        return Publication(number, is_new=True)

    def _check_known(self, connection: Connection, thread_id: str) -> None:
        mine = select(runs.c.run_id).where(runs.c.tenant == self._tenant, runs.c.thread_id == thread_id)
        if connection.execute(mine.limit(1)).first() is None:
            raise UnknownThread(thread_id, url=self._engine.url.render_as_string(hide_password=True))


class ThreadEvents(NamedTuple):
    """The events that were published to one thread, for the gates of its run."""

    store: PublishedStore
    thread_id: str

    def after(self, number: int, limit: int) -> Sequence[PublishedEvent]:
        """Return up to `limit` events with a number above this one, in order."""
        return self.store.after(self.thread_id, number, limit)

    def last(self) -> int:
        """Return the number of the latest event; 0 where there is none."""
        return self.store.last(self.thread_id)


def copy_published(connection: Connection, codec: Codec, tenant: str, thread_id: str, target: str) -> None:
    """Copy what was published to a thread to another one, to which nothing was."""
    for row in _rows_of(connection, tenant, thread_id):
        one = _event_of(codec, tenant, thread_id, row)
        name = _name_of(tenant, target, one.event, replays=one.replays)
        packed = _unpacked(codec, tenant, thread_id, row)
        _add(connection, _row(codec, tenant, target, row.number, name, packed))


def published_damage(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> list[StorageCorrupt]:
    """Return the error that reading each damaged event published to a thread raises, and what is missing."""
    found: list[StorageCorrupt] = []
    expected = 1
    for row in _rows_of(connection, tenant, thread_id):
        if row.number != expected:
            found.append(_damage(thread_id, f"number {expected} is missing"))
        expected = row.number + 1
        try:
            _event_of(codec, tenant, thread_id, row)
        except StorageCorrupt as error:
            found.append(error)
    return found


class _Collision(Exception):
    """Another transaction has taken the number, or stores the same event."""


def _rows_of(connection: Connection, tenant: str, thread_id: str) -> Iterator[Any]:
    number = 0
    while True:
        values = {"of_tenant": tenant, "of_thread": thread_id, "of_number": number, "of_limit": _ROWS}
        rows = _after.rows(connection, values)
        yield from rows
        if len(rows) < _ROWS:
            return
        number = rows[-1].number


def _last_number(connection: Connection, tenant: str, thread_id: str) -> int:
    found = _last.first(connection, {"of_tenant": tenant, "of_thread": thread_id})
    return int((found.number if found is not None else None) or 0)


def _name_of(tenant: str, thread_id: str, event: Event, *, replays: bool) -> bytes:
    kind = event.type if replays else None  # the type of a replay is an id of its own
    return digest_of(b"published", tenant, thread_id, event.source, event.id, kind)


def _row(codec: Codec, tenant: str, thread_id: str, number: int, name: bytes, packed: bytes) -> Mapping[str, Any]:
    content = codec.seal(packed, _context(tenant, thread_id))
    seal = digest_of(b"published", tenant, thread_id, str(number), name, content)
    return {"tenant": tenant, "thread_id": thread_id, "number": number, "name": name, "data": seal + content}


def _event_of(codec: Codec, tenant: str, thread_id: str, row: Any) -> PublishedEvent:
    packed = _unpacked(codec, tenant, thread_id, row)
    try:
        event, replays = _STORED.validate_json(packed)
    except ValidationError as error:  # whoever can write to the database can make the digest right
        raise _damage(thread_id, f"number {row.number} is no event") from error
    return PublishedEvent(row.number, event, replays)


def _unpacked(codec: Codec, tenant: str, thread_id: str, row: Any) -> bytes:
    data = bytes(row.data)
    seal, content = data[:_DIGEST], data[_DIGEST:]
    if seal != digest_of(b"published", tenant, thread_id, str(row.number), bytes(row.name), content):
        raise _damage(thread_id, f"number {row.number} is not what was stored")
    return codec.unseal(content, _context(tenant, thread_id))


def _context(tenant: str, thread_id: str) -> bytes:
    return digest_of(b"published", tenant, thread_id)


def _damage(thread_id: str, reason: str) -> StorageCorrupt:
    what = f"the events published to thread {thread_id!r} are damaged in 'published': {reason}"
    return StorageCorrupt(f"{what}; restore the database from a copy", thread_id=thread_id, column="published")
