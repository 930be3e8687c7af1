"""Boards in a SQL database: a write is an INSERT of the next version, which the second of two writers cannot make."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, Select, and_, bindparam, func, select

from guardgraph.state import BoardConflict, BoardEntry, BoardKind, StorageBusy
from guardgraph.storage.boards import BoardChange, BoardPlace, next_version
from guardgraph.storage.sql.board_rows import board_digest, entry_digest, packed_row, request_digest, unpacked_row
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import engine_of, read_transaction
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.key_check import check_key
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.statements import inserted

__all__ = ("SQLBoards",)

_RACES = 1_000
"""How often a number may be taken by others before a write gives up: each time another writer was done with one."""
_DEADLOCKS, _PATIENCE = 5, 2.0
"""How often a write is tried that the database ends for the sake of another one, within so many seconds."""

_of_board = boards.c.board == bindparam("of_board")
_of_entry = and_(_of_board, boards.c.entry == bindparam("of_entry"))
_newest = Prepared(lambda _: select(boards).where(_of_board).order_by(boards.c.number.desc()).limit(1))
_last_of = Prepared(lambda _: select(boards).where(_of_entry).order_by(boards.c.version.desc()).limit(1))
_requested = Prepared(lambda _: select(boards).where(_of_board, boards.c.request == bindparam("of_request")))


class SQLBoards:
    """Implements `BoardStore` in SQLite, PostgreSQL, MariaDB or MySQL. Every method blocks for one transaction."""

    blocks = True

    def __init__(self, engine: Engine, *, tenant: str, codec: Codec | None = None, fence: Fence | None = None) -> None:
        """Use an engine that the caller owns. The cipher of `codec` encrypts what is written, `fence` checks it."""
        self.engine, self._codec = engine_of(engine), codec or Codec()
        self._tenant, self._fence = checked_id("tenant", tenant), fence
        self._key_fits = False

    def with_fence(self, fence: Fence) -> SQLBoards:
        """Return a store whose writes are refused with `StaleWriter` once a thread was lost to another process."""
        return SQLBoards(self.engine, tenant=self._tenant, codec=self._codec, fence=fence)

    def write(self, place: BoardPlace, change: BoardChange) -> BoardEntry | None:
        """See `BoardStore.write`."""
        made = self._committed(place, change)
        if isinstance(made, BoardConflict):
            raise made
        return made

    def named(self, place: BoardPlace, name: str) -> BoardEntry | None:
        """See `BoardStore.named`."""
        with read_transaction(migrate(self.engine), thread_id=place.thread_id) as connection:
            return self._first(connection, place, _requested, of_request=request_digest(name))

    def last(self, place: BoardPlace, key: str) -> BoardEntry | None:
        """See `BoardStore.last`."""
        with read_transaction(migrate(self.engine), thread_id=place.thread_id) as connection:
            return self._first(connection, place, _last_of, of_entry=entry_digest(key))

    def entries(self, place: BoardPlace, kinds: Collection[BoardKind] | None = None) -> list[BoardEntry]:
        """See `BoardStore.entries`."""
        board, same = self._board(place), boards.alias()
        of_entry = (same.c.board == board, same.c.entry == boards.c.entry)
        last = (
            select(func.max(same.c.version)).where(*of_entry).correlate(boards).scalar_subquery()
        )  # PostgreSQL is slow with a join
        found = select(boards).where(boards.c.board == board, boards.c.version == last)
        if kinds is not None:
            found = found.where(boards.c.kind.in_(kinds))
        return sorted(
            (one for one in self._read(place.thread_id, found) if not one.is_deleted), key=lambda entry: entry.key
        )

    def history(self, place: BoardPlace, key: str) -> list[BoardEntry]:
        """See `BoardStore.history`."""
        mine = (boards.c.board == self._board(place), boards.c.entry == entry_digest(key))
        return self._read(place.thread_id, select(boards).where(*mine).order_by(boards.c.version))

    def changes(self, place: BoardPlace, after: int, limit: int | None = None) -> list[BoardEntry]:
        """See `BoardStore.changes`."""
        later = (boards.c.board == self._board(place), boards.c.number > after)
        return self._read(place.thread_id, select(boards).where(*later).order_by(boards.c.number).limit(limit))

    def names(self, thread_id: str | None) -> list[str]:
        """See `BoardStore.names`."""
        first = select(boards).where(boards.c.tenant == self._tenant, boards.c.number == 1)
        of_thread = boards.c.thread_id.is_(None) if thread_id is None else boards.c.thread_id == thread_id
        return sorted(entry.board for entry in self._read(thread_id, first.where(of_thread)))

    def _committed(self, place: BoardPlace, change: BoardChange) -> BoardEntry | BoardConflict | None:
        """Write in a transaction; one that the database has ended at once is made again, as after a deadlock."""
        commits, began = group_commit_of(self.engine), monotonic()
        for left in reversed(range(_DEADLOCKS)):
            try:
                return commits.write(lambda connection: self._write(connection, place, change), fence=self._fence)
            except StorageBusy:
                if not left or monotonic() - began > _PATIENCE:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _write(
        self, connection: Connection, place: BoardPlace, change: BoardChange
    ) -> BoardEntry | BoardConflict | None:
        """Store the next version; a conflict is returned, so that others in the same transaction are stored."""
        if self._fence is not None:
            self._fence.check(connection)
        self._key_fits = self._key_fits or check_key(connection, self._codec, self._tenant)
        request = None if change.name is None else request_digest(change.name)
        for _ in range(_RACES):
            known = None if request is None else self._first(connection, place, _requested, of_request=request)
            if known is not None:
                return known
            newest = self._first(connection, place, _newest)
            last = self._first(connection, place, _last_of, of_entry=entry_digest(change.key))
            number = 1 if newest is None else newest.number + 1
            entry = next_version(place, change, last, number=number, now=datetime.now(UTC))
            if entry is None or isinstance(entry, BoardConflict):
                return entry
            if inserted(connection, boards, packed_row(self._codec, self._tenant, place, entry, change.name)):
                return entry
        raise StorageBusy(f"board {place.name!r} is written by too many at once; try again", thread_id=place.thread_id)

    def _first(self, connection: Connection, place: BoardPlace, found: Prepared, **keys: bytes) -> BoardEntry | None:
        row = found.first(connection, {"of_board": self._board(place), **keys})
        return None if row is None else unpacked_row(self._codec, row._asdict())

    def _read(self, thread_id: str | None, found: Select[Any]) -> list[BoardEntry]:
        with read_transaction(migrate(self.engine), thread_id=thread_id) as connection:
            rows = connection.execute(found).mappings().all()
        return [unpacked_row(self._codec, row) for row in rows]

    def _board(self, place: BoardPlace) -> bytes:
        return board_digest(self._tenant, place)
