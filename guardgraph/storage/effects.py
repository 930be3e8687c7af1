"""What is known of side effects by their keys: the protocol of a store of them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

__all__ = ("EffectRecord", "EffectStore")


class EffectRecord(NamedTuple):
    """What is stored of one side effect."""

    key: str
    run_id: str | None
    """The run in which it was first begun; `None` outside of runs."""
    started: datetime
    """When it was first begun (UTC)."""
    is_done: bool = False
    """Whether its end was recorded; if not, it may have happened or not."""
    result: str | None = None
    """Its result as JSON text; `None` where it is done, and its result could not be stored."""


class EffectStore(Protocol):
    """Keeps side effects by their keys. Every method is atomic and may be called from any thread.

    `begin` returns after its commit, so that nothing happens of which there is no record.
    """

    @property
    def blocks(self) -> bool:
        """Whether a call may block, so that it must not be made on an event loop."""
        ...

    def lock(self, key: str) -> bool:
        """Lock `key` among all who use this store, and return whether that was possible; it never waits.

        A lock ends with `unlock`, or with the process that holds it.
        """
        ...

    def unlock(self, key: str) -> None:
        """Release the lock of `key`."""
        ...

    def begin(self, key: str, run_id: str | None) -> EffectRecord | None:
        """Store that an effect begins and return `None`; or return what is stored of it already."""
        ...

    def end(self, key: str, result: str | None) -> None:
        """Store that an effect has happened, with its result as JSON text, `None` for one that is not stored."""
        ...

    def forget(self, key: str) -> None:
        """Delete what is stored of an effect: it has not happened."""
        ...

    def unknown(self, limit: int) -> list[EffectRecord]:
        """Return effects whose end was not recorded, oldest first: in progress or cut off by a crash."""
        ...
