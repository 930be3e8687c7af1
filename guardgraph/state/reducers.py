"""How parallel writes to one channel of the shared state become one value.

Every reducer of lists is associative, and applying the same write twice changes nothing, so a
replay after a crash is safe. None of them drops what is different.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

__all__ = ("add_counts", "append_by_id", "append_unique", "merge_open")


def append_by_id(left: Sequence[Any] | None, right: Sequence[Any] | None) -> list[Any]:
    """Append the items of `right` that are not in `left` yet, each under an id of its own.

    An item whose id is taken by a different one gets a digest of its content behind its id.
    """
    merged = list(left or ())
    known = {item.id: item for item in merged}
    for item in right or ():
        new = item if item.id not in known or known[item.id] == item else _under_its_own_id(item)
        if new.id not in known and not _has_its_first_id(new, known):
            known[new.id] = new
            merged.append(new)
    return merged


def append_unique(left: Sequence[Any] | None, right: Sequence[Any] | None) -> list[Any]:
    """Append the items of `right` that are not equal to one in `left` yet."""
    merged = list(left or ())
    known = {item for item in merged if _has_hash(item)}  # a list alone would be searched from its start each time
    for item in right or ():
        has_hash = _has_hash(item)
        if item not in (known if has_hash else merged):
            merged.append(item)
            if has_hash:
                known.add(item)
    return merged


def add_counts(left: Mapping[str, int] | None, right: Mapping[str, int] | None) -> dict[str, int]:
    """Add the counts of `right` to those of `left`, name by name."""
    merged = dict(left or {})
    for name, count in (right or {}).items():
        merged[name] = merged.get(name, 0) + count
    return merged


def merge_open(left: Mapping[str, Any] | None, right: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the entries of `left` with those of `right` in their place; `None` takes an entry out."""
    removed = {name for name, value in (right or {}).items() if value is None}
    return {name: value for name, value in {**(left or {}), **(right or {})}.items() if name not in removed}


def _under_its_own_id(item: Any) -> Any:
    digest = blake2b(item.model_dump_json().encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return item.model_copy(update={"id": f"{item.id}~{digest}"})


def _has_its_first_id(item: Any, known: Mapping[str, Any]) -> bool:
    first, mark, _ = item.id.rpartition("~")
    return bool(mark) and first in known and _under_its_own_id(known[first]) == item


def _has_hash(item: Any) -> bool:
    try:
        hash(item)
    except TypeError:
        return False
    return True
