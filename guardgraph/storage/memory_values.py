"""Shared values in the memory of this process."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from threading import Lock
from time import time

from pydantic import JsonValue

from guardgraph.state import StorageCorrupt
from guardgraph.state.argument_checks import check_count
from guardgraph.storage.shared_values import Change, ValueKind

__all__ = ("PROCESS_VALUES", "MemoryValues")


class MemoryValues:
    """Implements `SharedValues` for one process; what it knows is gone with the process."""

    blocks = False

    def __init__(self, clock: Callable[[], float] = time) -> None:
        """`clock` returns the time in seconds since 1970."""
        self._guard, self._clock = Lock(), clock
        self._values: dict[tuple[ValueKind, str], JsonValue] = {}

    def update(self, kind: ValueKind, names: Collection[str], change: Change) -> None:
        """See `SharedValues.update`."""
        if not names:
            return
        with self._guard:
            there = {name: self._values[kind, name] for name in names if (kind, name) in self._values}
            for name, value in change(there, self._clock()).items():
                self._values.pop((kind, name), None)  # the one changed last is the last
                self._values[kind, name] = value

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
        with self._guard:
            if names is not None:
                return {name: self._values[kind, name] for name in names if (kind, name) in self._values}
            newest = ((name, value) for (of, name), value in reversed(self._values.items()) if of == kind)
            return dict(islice(newest, limit))

    def forget(self, kind: ValueKind, name: str) -> bool:
        """See `SharedValues.forget`."""
        with self._guard:
            return self._values.pop((kind, name), None) is not None

    def now(self) -> float:
        """See `SharedValues.now`."""
        return self._clock()


PROCESS_VALUES = MemoryValues()
"""The values that all runs of this process share which have no `Runner`."""
