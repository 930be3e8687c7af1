"""Boards in the memory of this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

from guardgraph.state import BoardConflict, BoardEntry, BoardKind, unshared_copy
from guardgraph.storage.boards import BoardChange, BoardPlace, next_version

__all__ = ("KEPT_THREADS", "PROCESS_BOARDS", "MemoryBoards")

KEPT_THREADS = 1_000
"""Of how many threads a `MemoryBoards` keeps the boards, those that were written last; shared boards are all kept."""


@dataclass(slots=True)
class _Entries:
    """What is on one board."""

    changes: list[BoardEntry] = field(default_factory=list[BoardEntry])
    last: dict[str, BoardEntry] = field(default_factory=dict[str, BoardEntry])
    by_name: dict[str, BoardEntry] = field(default_factory=dict[str, BoardEntry])


class MemoryBoards:
    """Implements `BoardStore` for one process; what it holds is gone with the process."""

    blocks = False

    def __init__(self) -> None:
        self._guard = Lock()
        self._threads: OrderedDict[str | None, dict[str, _Entries]] = OrderedDict()

    def write(self, place: BoardPlace, change: BoardChange) -> BoardEntry | None:
        """See `BoardStore.write`."""
        with self._guard:
            board = self._at(place)
            known = None if change.name is None else board.by_name.get(change.name)
            if known is not None:
                return _copy(known)
            last, number = board.last.get(change.key), len(board.changes) + 1
            entry = next_version(place, change, last, number=number, now=datetime.now(UTC))
            if isinstance(entry, BoardConflict):
                raise entry
            if entry is None:
                return None
            self._threads.setdefault(place.thread_id, {})[place.name] = board
            self._touch(place.thread_id)
            board.changes.append(entry)
            board.last[entry.key] = entry
            if change.name is not None:
                board.by_name[change.name] = entry
            return _copy(entry)

    def named(self, place: BoardPlace, name: str) -> BoardEntry | None:
        """See `BoardStore.named`."""
        with self._guard:
            found = self._at(place).by_name.get(name)
        return None if found is None else _copy(found)

    def last(self, place: BoardPlace, key: str) -> BoardEntry | None:
        """See `BoardStore.last`."""
        with self._guard:
            found = self._at(place).last.get(key)
        return None if found is None else _copy(found)

    def entries(self, place: BoardPlace, kinds: Collection[BoardKind] | None = None) -> list[BoardEntry]:
        """See `BoardStore.entries`."""
        with self._guard:
            found = [*self._at(place).last.values()]
        wanted = (_copy(one) for one in found if not one.is_deleted and (kinds is None or one.kind in kinds))
        return sorted(wanted, key=lambda entry: entry.key)

    def history(self, place: BoardPlace, key: str) -> list[BoardEntry]:
        """See `BoardStore.history`."""
        with self._guard:
            return [_copy(entry) for entry in self._at(place).changes if entry.key == key]

    def changes(self, place: BoardPlace, after: int, limit: int | None = None) -> list[BoardEntry]:
        """See `BoardStore.changes`."""
        with self._guard:
            return [_copy(entry) for entry in self._at(place).changes[after:][:limit]]

    def names(self, thread_id: str | None) -> list[str]:
        """See `BoardStore.names`."""
        with self._guard:
            return sorted(self._threads.get(thread_id, ()))

    def forget(self, thread_id: str) -> None:
        """Drop the boards of a thread."""
        with self._guard:
            self._threads.pop(thread_id, None)

    def _at(self, place: BoardPlace) -> _Entries:
        return self._threads.get(place.thread_id, {}).get(place.name) or _Entries()

    def _touch(self, thread_id: str | None) -> None:
        """Count a thread as the one that was written last, and the shared boards as the first to be kept."""
        self._threads.move_to_end(thread_id)
        while len(self._threads) > KEPT_THREADS + (None in self._threads):
            self._threads.pop(next(name for name in self._threads if name is not None))


def _copy(entry: BoardEntry) -> BoardEntry:
    """Return an entry whose value the caller may change."""
    return unshared_copy(entry)


PROCESS_BOARDS = MemoryBoards()
"""The boards of runs that have no database."""
