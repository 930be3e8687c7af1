"""Small values that all runs of a database share: rate limits, circuit breakers, learned costs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal, Protocol, TypeAlias, TypeVar

from pydantic import JsonValue

from guardgraph.state import StorageCorrupt

__all__ = ("Change", "SharedValues", "ValueKind", "decoded")

_T = TypeVar("_T")

ValueKind = Literal["rate", "breaker", "cost"]
"""What a value belongs to; the names of one kind are apart from those of another."""

Change: TypeAlias = "Callable[[Mapping[str, JsonValue], float], Mapping[str, JsonValue]]"
"""Takes the values that are there by name, and the time in seconds since 1970; returns those to store,
none of them `None`. It is pure."""


class SharedValues(Protocol):
    """Keeps JSON values by kind and name. Every method is atomic and may be called from any thread."""

    @property
    def blocks(self) -> bool:
        """Whether its methods wait for a database; then they are called from a thread, not from an event loop."""
        ...

    def update(self, kind: ValueKind, names: Collection[str], change: Change) -> None:
        """Change the values of some names at once: no other change of one of them comes between.

        The time is that of the store, so that all processes go by one clock.
        """
        ...

    def read(
        self,
        kind: ValueKind,
        names: Collection[str] | None = None,
        *,
        limit: int = 1_000,
        damaged: dict[str, StorageCorrupt] | None = None,
    ) -> dict[str, JsonValue]:
        """Return the values of some names, without those that are not there; by default the `limit` changed last.

        One that cannot be read is added to `damaged` and left out; without that it raises `StorageCorrupt`.
        """
        ...

    def forget(self, kind: ValueKind, name: str) -> bool:
        """Delete a value, and return whether it was there."""
        ...

    def now(self) -> float:
        """Return the time in seconds since 1970, by the clock of the store."""
        ...


def decoded(decode: Callable[[JsonValue], _T], name: str, stored: JsonValue) -> _T:
    """Return what `decode` makes of the value of a name. Raises `StorageCorrupt` where that is something else."""
    try:
        return decode(stored)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise StorageCorrupt(f"the shared value {name!r} is damaged: {type(error).__name__}: {error}") from error
