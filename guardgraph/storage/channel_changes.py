"""Which channels differ between two checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

__all__ = ("ChannelChange", "changes_between")


class ChannelChange(NamedTuple):
    """One channel that differs."""

    channel: str
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ChannelChange]:
    """Return the channels whose values differ, sorted by name; those of LangGraph itself are left out."""
    names = sorted(name for name in before.keys() | after.keys() if ":" not in name and not name.startswith("__"))
    found: list[ChannelChange] = []
    for name in names:
        if name not in before:
            found.append(ChannelChange(name, "added", after=after[name]))
        elif name not in after:
            found.append(ChannelChange(name, "removed", before=before[name]))
        elif not _same(before[name], after[name]):
            found.append(ChannelChange(name, "changed", before[name], after[name]))
    return found


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays, for example, are compared by their elements
        return repr(one) == repr(other)
