"""A board as one agent, or one person, sees it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pydantic import JsonValue

from guardgraph.runtime.boards.user import BoardUser
from guardgraph.runtime.concurrency.isolation import run_shielded
from guardgraph.state import (
    BadInput,
    BoardConflict,
    BoardEntry,
    BoardKind,
    board_value,
    checked_key,
    checked_kind,
    checked_version,
)
from guardgraph.storage.boards import BoardChange, BoardPlace, BoardStore

__all__ = ("BoardView",)

_T = TypeVar("_T")
_TRIES = 50
_SHORTEST, _LONGEST = 0.01, 0.5
"""Seconds between two looks at a board that is waited for."""


class BoardView:
    """A board, with the grants of whoever uses it. Every method has an `a` twin, which blocks no event loop.

    Reading what is not granted, or writing it, raises `BoardDenied`.
    """

    def __init__(self, store: BoardStore, place: BoardPlace, user: BoardUser) -> None:
        self._store, self._place, self._user = store, place, user

    @property
    def name(self) -> str:
        """The name of the board."""
        return self._place.name

    def get(self, key: str) -> BoardEntry | None:
        """Return the last version of an entry; `None` where there is none, or where it is deleted."""
        self._user.check("read", checked_key(key))
        found = self._last(key)
        return None if found is None or found.is_deleted else found

    def entries(self, prefix: str = "") -> list[BoardEntry]:
        """Return the last versions of all entries whose keys begin with `prefix`, sorted by key."""
        wanted = _checked_prefix(prefix)
        return [one for one in self._readable(self._store.entries(self._place)) if one.key.startswith(wanted)]

    def history(self, key: str) -> list[BoardEntry]:
        """Return all versions of an entry, oldest first, those that delete it among them."""
        self._user.check("read", checked_key(key))
        return self._read(self._store.history(self._place, key))

    def put(self, key: str, value: Any, *, expect: int | None = None, kind: BoardKind | None = None) -> BoardEntry:
        """Write the next version of an entry, and return it.

        An attempt that runs again after a crash, and writes the same once more, gets the version that it has written.

        Args:
            key: the name of the entry.
            value: JSON data, or what has a JSON form, such as pydantic models.
            expect: the version that is replaced, or 0 where there is to be none; `None` replaces any.
            kind: by default that of the version before, else a note.

        Raises:
            BoardConflict: the entry is at another version; nothing was written.
            BoardDenied: the key is not granted.
            BadInput: the key, the value or an argument does not fit.
        """
        change = self._change(key, value, expect=expect, kind=kind)
        return _written(self._named(change, f"put {change.kind} {change.value}"))

    def delete(self, key: str, *, expect: int | None = None) -> BoardEntry | None:
        """Delete an entry and return the version that does; its history stays. Raises as `put` does.

        Where there is none it returns `None`, unless a version was expected.
        """
        change = self._change(key, None, expect=expect)._replace(is_deleted=True)
        entry = self._named(change, "delete")
        if entry is None or self._user.attempt is None:  # only the writes of attempts may delete what is not there
            return entry
        if entry.version == 1:
            return None
        before = self._store.history(self._place, key)[entry.version - 2]
        return None if before.is_deleted else entry

    def update(
        self,
        key: str,
        function: Callable[[Any], JsonValue],
        *,
        kind: BoardKind | None = None,
        tries: int = _TRIES,
    ) -> BoardEntry:
        """Write what `function` makes of the value of an entry (`None` where there is none), and return that version.

        Where somebody else has written it meanwhile, `function` is called with the new value, at most `tries` times in
        all. An attempt that runs again after a crash gets the version that it has written, whatever the value is now:
        `function` is not called again, and known by its name. Raises as `put` does.
        """
        self._user.check("write", checked_key(key))  # before the function is given what it may not read
        name, most = _name_of(function), _checked_tries(tries)
        for left in reversed(range(most)):
            last = self._last(key)
            known = None if last is None else self._known_update(key, name)
            if known is not None:
                return known
            try:
                change = self._made(key, function, last, kind)
                return _written(self._named(change, f"update {name}", function=name))
            except BoardConflict:
                if not left:
                    raise
                time.sleep(random.uniform(0, _SHORTEST))
        raise AssertionError("unreachable: the last try returns or raises")

    def changes(self, after: int = 0) -> list[BoardEntry]:
        """Return all versions with a number above `after`, in the order in which they were written."""
        return self._readable(self._store.changes(self._place, _checked_after(after)))

    def wait(self, after: int, timeout: float = 60.0) -> list[BoardEntry]:
        """Wait until something is written after the version of that number, and return the `changes`.

        After `timeout` seconds the list is empty. An agent that waits holds its slot.
        """
        until, pause = time.monotonic() + _checked_timeout(timeout), _SHORTEST
        while not (found := self.changes(after)) and (left := until - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST)
        return found

    async def aget(self, key: str) -> BoardEntry | None:
        """Do as `get` without blocking the event loop."""
        return await self._off_loop(lambda: self.get(key))

    async def aentries(self, prefix: str = "") -> list[BoardEntry]:
        """Do as `entries` without blocking the event loop."""
        return await self._off_loop(lambda: self.entries(prefix))

    async def ahistory(self, key: str) -> list[BoardEntry]:
        """Do as `history` without blocking the event loop."""
        return await self._off_loop(lambda: self.history(key))

    async def aput(
        self, key: str, value: Any, *, expect: int | None = None, kind: BoardKind | None = None
    ) -> BoardEntry:
        """Do as `put` without blocking the event loop; what has begun is written, also where its task is cancelled."""
        return await self._off_loop(lambda: self.put(key, value, expect=expect, kind=kind))

    async def adelete(self, key: str, *, expect: int | None = None) -> BoardEntry | None:
        """Do as `delete` without blocking the event loop."""
        return await self._off_loop(lambda: self.delete(key, expect=expect))

    async def aupdate(
        self,
        key: str,
        function: Callable[[Any], JsonValue],
        *,
        kind: BoardKind | None = None,
        tries: int = _TRIES,
    ) -> BoardEntry:
        """Do as `update` without blocking the event loop; `function` may be called in another thread."""
        return await self._off_loop(lambda: self.update(key, function, kind=kind, tries=tries))

    async def achanges(self, after: int = 0) -> list[BoardEntry]:
        """Do as `changes` without blocking the event loop."""
        return await self._off_loop(lambda: self.changes(after))

    async def await_(self, after: int, timeout: float = 60.0) -> list[BoardEntry]:
        """Do as `wait` without blocking the event loop."""
        until, pause = time.monotonic() + _checked_timeout(timeout), _SHORTEST
        while not (found := await self.achanges(after)) and (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST)
        return found

    def _change(self, key: str, value: Any, *, expect: int | None = None, kind: BoardKind | None = None) -> BoardChange:
        self._user.check("write", checked_key(key))
        text, expected = board_value(value), checked_version(expect)
        user = self._user
        return BoardChange(key, text, user.author, checked_kind(kind), expected, run_id=user.run_id)

    def _made(
        self, key: str, function: Callable[[Any], JsonValue], last: BoardEntry | None, kind: BoardKind | None
    ) -> BoardChange:
        value = None if last is None or last.is_deleted else last.value
        return self._change(key, function(value), expect=0 if last is None else last.version, kind=kind)

    def _known_update(self, key: str, function: str) -> BoardEntry | None:
        """Return the version that the next update has written already, when the attempt ran before."""
        with self._user.turn(key):
            name = self._user.name(key, f"update {function}", function=function)
            entry = None if name is None else self._store.named(self._place, name)
            if entry is not None:
                self._user.count(key, function=function)
        return self._reported(entry)

    def _named(self, change: BoardChange, content: str, *, function: str = "") -> BoardEntry | None:
        """Write under the name that the content gives it."""
        with self._user.turn(change.key):
            name = self._user.name(change.key, content, function=function)
            entry = self._store.write(self._place, change._replace(name=name))
            self._user.count(change.key, function=function)
        return self._reported(entry)

    def _reported(self, entry: BoardEntry | None) -> BoardEntry | None:
        if entry is not None:
            self._user.on_written(entry)
        return entry

    def _readable(self, entries: list[BoardEntry]) -> list[BoardEntry]:
        return self._read([entry for entry in entries if self._user.may("read", entry.key)])

    def _last(self, key: str) -> BoardEntry | None:
        found = self._store.last(self._place, key)
        self._read([] if found is None else [found])
        return found

    def _read(self, entries: list[BoardEntry]) -> list[BoardEntry]:
        self._user.on_read(entries)
        return entries

    async def _off_loop(self, work: Callable[[], _T]) -> _T:
        return await run_shielded(work)


def _written(entry: BoardEntry | None) -> BoardEntry:
    """Return the version of a write that is no deletion: there always is one."""
    assert entry is not None
    return entry


def _name_of(function: Any) -> str:
    """Return the name of a function, by which an attempt that runs again knows it."""
    if not callable(function):
        raise BadInput(f"`function` must be a function, got {function!r:.80}")
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def _checked_after(after: int) -> int:
    return checked_version(after, "after") or 0


def _checked_prefix(prefix: Any) -> str:
    if not isinstance(prefix, str):
        raise BadInput(f"`prefix` must be a text, got {prefix!r:.80}")
    return prefix


def _checked_timeout(timeout: Any) -> float:
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or timeout != timeout:
        raise BadInput(f"`timeout` must be a number of seconds, got {timeout!r:.80}")
    return timeout


def _checked_tries(tries: Any) -> int:
    if not isinstance(tries, int) or isinstance(tries, bool):
        raise BadInput(f"`tries` must be a whole number, got {tries!r:.80}")
    if tries < 1:
        raise BadInput(f"`tries` must be at least 1, got {tries!r}")
    return tries
