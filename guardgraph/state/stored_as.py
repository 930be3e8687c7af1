"""The name under which objects of a class are stored, so that the class can be moved and renamed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from guardgraph.state.errors import BadInput

__all__ = ("StoredName", "stored_as", "stored_name")

_Kind = TypeVar("_Kind", bound=type[Any])
_NAME = re.compile(r"[\w.-]+:[\w.-]+")
_RESERVED = ("guardgraph", "langchain", "langgraph")
_ATTRIBUTE = "__stored_as__"


class StoredName(NamedTuple):
    """How objects of a class are named in stored data."""

    tag: str
    former: tuple[str, ...] = ()
    """Tags under which older data holds them."""
    renamed: Mapping[str, str] = MappingProxyType({})
    """The present names of fields that older data holds under other names."""


def stored_as(
    tag: str, *, former: tuple[str, ...] = (), renamed: Mapping[str, str] | None = None
) -> Callable[[_Kind], _Kind]:
    """Return a decorator that names a class in stored data as `tag`, such as `shop:Bill`.

    Without it a class is stored as `module:QualName`, so that it must not be moved or renamed while data of it is kept.
    Where it was stored so before, give that name as one of `former`. `renamed` maps the old names of fields to the
    present ones. A subclass needs a tag of its own.

    >>> @stored_as("shop:Bill", former=("shop.models:Invoice",), renamed={"sum": "total"})
    ... class Bill: ...

    Raises:
        BadInput: a tag is not of the form `application:Name`, or is one of guardgraph's, LangChain's or LangGraph's.
    """
    if _NAME.fullmatch(tag) is None or tag.partition(":")[0] in _RESERVED:
        reserved = ", ".join(f"`{name}:`" for name in _RESERVED)
        raise BadInput(
            f"a stored name is `application:Name`, as shop:Bill, and begins with none of {reserved}; got {tag!r}"
        )
    name = StoredName(tag, tuple(former), MappingProxyType(dict(renamed or {})))

    def decorate(kind: _Kind) -> _Kind:
        setattr(kind, _ATTRIBUTE, name)
        return kind

    return decorate


def stored_name(kind: type[Any]) -> StoredName:
    """Return how objects of a class are named in stored data: by `stored_as`, or else as `module:QualName`."""
    given = kind.__dict__.get(_ATTRIBUTE)
    return given if isinstance(given, StoredName) else StoredName(f"{kind.__module__}:{kind.__qualname__}")
