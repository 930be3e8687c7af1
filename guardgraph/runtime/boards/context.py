"""What every request holds of the boards: the decisions and constraints, within bounds. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from guardgraph.state import BoardEntry, BoardKind, ContextItem

__all__ = ("CONTEXT_KINDS", "MOST_CHARACTERS", "MOST_ENTRIES", "context_of_entries")

CONTEXT_KINDS: tuple[BoardKind, ...] = ("constraint", "decision")
"""What every request holds."""
MOST_ENTRIES = 50
"""How many decisions and constraints a request holds at most, of all boards together."""
MOST_CHARACTERS = 10_000
"""How many characters their keys and values may have as JSON, all together."""
_NAMED = 50


def context_of_entries(entries: Sequence[BoardEntry]) -> tuple[ContextItem, ...]:
    """Return decisions and constraints as context: constraints first; what exceeds the bounds is only named.

    Of each kind, what people have written is kept before what agents have, so that these cannot displace it; then what
    was written last. One that is too large by itself leaves room for others.
    """
    kept, left_out, room = list[BoardEntry](), list[BoardEntry](), MOST_CHARACTERS
    for entry in sorted(entries, key=_rank, reverse=True):
        size = len(entry.key) + len(json.dumps(entry.value, ensure_ascii=False))
        if len(kept) == MOST_ENTRIES or size > room:
            left_out.append(entry)
        else:
            kept.append(entry)
            room -= size
    items: list[ContextItem] = []
    for kind in CONTEXT_KINDS:
        items += [_item(entry) for entry in entries if entry in kept and entry.kind == kind]
        items += _named(kind, [entry for entry in left_out if entry.kind == kind])
    return tuple(items)


def _rank(entry: BoardEntry) -> tuple[int, bool, datetime]:
    """Return what is the higher, the sooner an entry is kept."""
    return CONTEXT_KINDS[::-1].index(entry.kind), entry.run_id is None, entry.at


def _item(entry: BoardEntry) -> ContextItem:
    kind = "constraint" if entry.kind == "constraint" else "decision"
    is_own = entry.run_id is None  # written by people, outside of runs
    return ContextItem(
        kind=kind,
        title=entry.key,
        sender=f"{entry.author}, board {entry.board}",
        value=entry.value,
        origin="user" if is_own else "agent",
        trusted=is_own,
    )


def _named(kind: BoardKind, left_out: Sequence[BoardEntry]) -> list[ContextItem]:
    """Return the names of what is left out of a request as one item, if anything is."""
    if not left_out:
        return []
    names = [f"{entry.board}: {entry.key}" for entry in left_out[:_NAMED]]
    more = [f"and {len(left_out) - _NAMED} more"] if len(left_out) > _NAMED else []
    is_constraint, is_own = kind == "constraint", all(entry.run_id is None for entry in left_out)
    return [
        ContextItem(
            kind="constraint" if is_constraint else "decision",
            title=f"{len(left_out)} {kind}s are left out here; read them on the board",
            sender="team",
            value=[*names, *more],
            origin="user" if is_own else "agent",
            trusted=is_own,
        )
    ]
