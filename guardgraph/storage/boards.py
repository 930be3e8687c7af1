"""Entries of boards by key and version: the protocol of a store of them, and what a write makes of the last version."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Protocol

from guardgraph.state import BoardConflict, BoardEntry, BoardKind

__all__ = ("BoardChange", "BoardPlace", "BoardStore", "next_version")


class BoardPlace(NamedTuple):
    """Which board of a tenant."""

    thread_id: str | None
    """The thread that it belongs to; `None` for one that all threads share by its name."""
    name: str


class BoardChange(NamedTuple):
    """What is to be written."""

    key: str
    value: str
    """The value as JSON text."""
    author: str
    kind: BoardKind | None = None
    """`None` keeps the kind of the last version."""
    expect: int | None = None
    """The version that it replaces: 0 where there is to be none, `None` for any."""
    is_deleted: bool = False
    run_id: str | None = None
    name: str | None = None
    """Names this write on its board, so that it is made once although it is requested again; `None` for no name."""


class BoardStore(Protocol):
    """Keeps boards of one tenant. Every method is atomic and may be called from any thread.

    Versions are never changed; the numbers of a board have no gap, and follow the order of the commits.
    """

    @property
    def blocks(self) -> bool:
        """Whether a call may block, so that it must not be made on an event loop."""
        ...

    def write(self, place: BoardPlace, change: BoardChange) -> BoardEntry | None:
        """Store the next version of an entry, and return it; a change whose name was stored before returns that.

        It returns `None` where there is nothing to delete, and the change has no name. With a name that is a version
        too: made again, the same change must not delete what was written after it.

        Raises:
            BoardConflict: the entry is not at the version that is expected.
        """
        ...

    def named(self, place: BoardPlace, name: str) -> BoardEntry | None:
        """Return the version that the write of this name has stored; `None` where it has not."""
        ...

    def last(self, place: BoardPlace, key: str) -> BoardEntry | None:
        """Return the last version of an entry, which may delete it; `None` where it has none."""
        ...

    def entries(self, place: BoardPlace, kinds: Collection[BoardKind] | None = None) -> list[BoardEntry]:
        """Return the last versions of all entries that are not deleted, or of those of some kinds, sorted by key."""
        ...

    def history(self, place: BoardPlace, key: str) -> list[BoardEntry]:
        """Return all versions of an entry, oldest first."""
        ...

    def changes(self, place: BoardPlace, after: int, limit: int | None = None) -> list[BoardEntry]:
        """Return up to `limit` versions with numbers above `after`, in their order."""
        ...

    def names(self, thread_id: str | None) -> list[str]:
        """Return the names of the boards of a thread, or of those that all share, sorted."""
        ...


def next_version(
    place: BoardPlace, change: BoardChange, last: BoardEntry | None, *, number: int, now: datetime
) -> BoardEntry | BoardConflict | None:
    """Return the version that a change makes of the last one of its entry, or why it does not.

    `None` means that there is nothing to delete; under a name that is a version too.
    """
    at, is_there = 0 if last is None else last.version, last is not None and not last.is_deleted
    fits = change.expect in (None, at) or (change.expect == 0 and not is_there)
    if not fits:
        return BoardConflict(place.name, change.key, expected=change.expect or 0, current=last)
    if change.is_deleted and not is_there and change.name is None:
        return None
    kept = last.kind if last is not None and is_there else "note"
    return BoardEntry(
        board=place.name,
        key=change.key,
        value=json.loads(change.value),
        kind=change.kind or kept,
        version=at + 1,
        number=number,
        author=change.author,
        at=now,
        run_id=change.run_id,
        is_deleted=change.is_deleted,
    )
