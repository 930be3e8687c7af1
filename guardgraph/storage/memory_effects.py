"""Side effects in the memory of this process."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from threading import Lock

from guardgraph.storage.effects import EffectRecord

__all__ = ("PROCESS_EFFECTS", "REMEMBERED", "MemoryEffects")

REMEMBERED = 10_000
"""How many effects that are done a `MemoryEffects` remembers, the newest ones; an older one would be done again."""


class MemoryEffects:
    """Implements `EffectStore` for one process; what it knows is gone with the process."""

    blocks = False

    def __init__(self) -> None:
        self._guard = Lock()
        self._locked: set[str] = set()
        self._open: dict[str, EffectRecord] = {}
        self._done: OrderedDict[str, EffectRecord] = OrderedDict()

    def lock(self, key: str) -> bool:
        """See `EffectStore.lock`."""
        with self._guard:
            if key in self._locked:
                return False
            self._locked.add(key)
            return True

    def unlock(self, key: str) -> None:
        """See `EffectStore.unlock`."""
        with self._guard:
            self._locked.discard(key)

    def begin(self, key: str, run_id: str | None) -> EffectRecord | None:
        """See `EffectStore.begin`."""
        with self._guard:
            found = self._done.get(key) or self._open.get(key)
            if found is None:
                self._open[key] = EffectRecord(key, run_id, datetime.now(UTC))
            return found

    def end(self, key: str, result: str | None) -> None:
        """See `EffectStore.end`."""
        with self._guard:
            found = self._open.pop(key, None)
            if found is not None:
                self._done[key] = found._replace(is_done=True, result=result)
                if len(self._done) > REMEMBERED:
                    self._done.popitem(last=False)

    def forget(self, key: str) -> None:
        """See `EffectStore.forget`."""
        with self._guard:
            self._open.pop(key, None)

    def unknown(self, limit: int) -> list[EffectRecord]:
        """See `EffectStore.unknown`."""
        with self._guard:
            return [*self._open.values()][:limit]


PROCESS_EFFECTS = MemoryEffects()
"""The effects of runs that have no database."""
