"""How parallel writes to one channel of the shared state become one value.

Every reducer is associative, and applying the same write twice changes nothing, so a replay after a crash is safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ("add_distinct", "add_new")


def add_new(left: Sequence[Any] | None, right: Sequence[Any] | None) -> list[Any]:
    """Append the items of `right` whose `id` does not stand in `left` yet."""
    known = {item.id for item in left or ()}
    merged = list(left or ())
    for item in right or ():
        if item.id not in known:
            known.add(item.id)
            merged.append(item)
    return merged


def add_distinct(left: Sequence[Any] | None, right: Sequence[Any] | None) -> list[Any]:
    """Append the items of `right` that are not equal to one in `left` yet."""
    merged = list(left or ())
    hashed = {item for item in merged if _has_hash(item)}  # a list alone would be searched from its start each time
    others = [item for item in merged if not _has_hash(item)]
    for item in right or ():
        if _has_hash(item):
            if item not in hashed:
                hashed.add(item)
                merged.append(item)
        elif item not in others:
            others.append(item)
            merged.append(item)
    return merged


def _has_hash(item: Any) -> bool:
    try:
        hash(item)
    except TypeError:
        return False
    return True
