"""Read-only state: views of dicts and lists, without copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, SupportsIndex, cast

__all__ = ("ReadOnlyList", "ReadOnlyMapping", "read_only")


def read_only(value: Any) -> Any:
    """Return `value` so that no dict, list or set in it can be changed; anything else is returned as it is.

    Dicts and lists are not copied, nor is what they hold, which is wrapped on access; a set is copied.
    """
    if isinstance(value, dict | MappingProxyType):
        return ReadOnlyMapping(cast("Mapping[Any, Any]", value))
    if isinstance(value, list):
        return ReadOnlyList(cast("list[Any]", value))
    if isinstance(value, set):
        return frozenset(cast("set[Any]", value))
    if type(value) is tuple:
        return tuple(map(read_only, value))
    return value


class ReadOnlyMapping(Mapping[Any, Any]):
    """A view of a mapping, which it equals."""

    __slots__ = ("_shown",)

    def __init__(self, shown: Mapping[Any, Any]) -> None:
        self._shown = shown

    def __getitem__(self, key: Any) -> Any:
        return read_only(self._shown[key])

    def __contains__(self, key: object) -> bool:
        return key in self._shown

    def __iter__(self) -> Iterator[Any]:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**other, **self}

    def __repr__(self) -> str:
        return repr(self._shown)


class ReadOnlyList(Sequence[Any]):
    """A view of a list, which it equals; a slice of it is read-only too, and a sum is a list."""

    __slots__ = ("_shown",)
    __hash__ = None  # pyright: ignore[reportAssignmentType] -- as a list

    def __init__(self, shown: list[Any]) -> None:
        self._shown = shown

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        return read_only(self._shown[index])

    def __contains__(self, value: object) -> bool:
        return value in self._shown

    def __iter__(self) -> Iterator[Any]:
        return map(read_only, self._shown)

    def __len__(self) -> int:
        return len(self._shown)

    def __eq__(self, other: object) -> bool:
        return self._shown == (other._shown if isinstance(other, ReadOnlyList) else other)

    def __add__(self, other: Iterable[Any]) -> list[Any]:
        return [*self, *other]

    def __radd__(self, other: Iterable[Any]) -> list[Any]:
        return [*other, *self]

    def __repr__(self) -> str:
        return repr(self._shown)
