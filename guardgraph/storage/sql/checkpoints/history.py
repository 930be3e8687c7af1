"""The history of delta channels: what the ancestors of a checkpoint wrote, back to the last stored value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite, writes_sort_key
from sqlalchemy import Connection

from guardgraph.storage.sql.checkpoints.loading import (
    Found,
    TaskWrites,
    find_checkpoint,
    lost_writes,
    read_found,
    writes_of,
)
from guardgraph.storage.sql.checkpoints.packing import damage
from guardgraph.storage.sql.checkpoints.values import Values
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import ancestors

__all__ = ("Ancestor", "ancestors_until_stored", "load_history")

_ANCESTORS = 128
"""How many ancestors are read at once; a delta channel stores its value every 100 updates by default."""


class Ancestor(NamedTuple):
    """One ancestor of a checkpoint, and what it contributes to the delta channels that are rebuilt from it."""

    found: Found
    channels: frozenset[str]
    """The channels that no nearer ancestor has a stored value of."""

    @property
    def stored(self) -> frozenset[str]:
        """Those of `channels` that have a stored value here."""
        return self.channels & self.found.entries.keys()


def ancestors_until_stored(connection: Connection, found: Found, channels: Collection[str]) -> Iterator[list[Ancestor]]:
    """Yield the ancestors of a checkpoint in pages, its parent first, until each channel's last stored value.

    Raises:
        StorageCorrupt: an ancestor is missing, or its row is not what was stored.
    """
    last, missing, seen = found, frozenset(channels), {found.checkpoint_id}
    while missing:
        page: list[Ancestor] = []
        for row in connection.execute(
            ancestors(found.at.namespace_id, last.checkpoint_id, limit=_ANCESTORS)
        ).mappings():
            if row["wanted"] in seen or not missing:
                break
            last = _ancestor(found, row)
            seen.add(row["wanted"])
            page.append(Ancestor(last, missing))
            missing -= page[-1].stored
        if not page:
            return
        yield page


def _ancestor(found: Found, row: Mapping[Any, Any]) -> Found:
    if row["checkpoint_id"] is None:
        raise damage(found.place, row["wanted"], "parent", "an ancestor is missing from which a channel is rebuilt")
    return read_found(found.place, row, at=found.at)


def load_history(
    connection: Connection, codec: Codec, place: Place, channels: Sequence[str]
) -> Mapping[str, DeltaChannelHistory]:
    """Return for each channel the nearest ancestor's stored value, and all writes since, oldest first."""
    newest_first: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    target = child = find_checkpoint(connection, place)
    for page in ancestors_until_stored(connection, target, channels) if target else ():
        values = Values(codec)
        wanted = [
            item.found._replace(entries={name: item.found.entries[name] for name in item.stored}) for item in page
        ]
        for ancestor, (tasks, fault) in zip(page, writes_of(connection, values, wanted), strict=True):
            fault = fault or (child and lost_writes(child, tasks))
            if fault:
                raise fault
            child = ancestor.found
            for channel, write in reversed([*_in_order(ancestor, values, tasks)]):
                newest_first[channel].append(write)
            at, name = ancestor.found.place, ancestor.found.checkpoint_id
            for channel in ancestor.stored:
                seeds[channel] = values.value(at, name, channel, ancestor.found.entries[channel])
    history: dict[str, DeltaChannelHistory] = {name: {"writes": writes[::-1]} for name, writes in newest_first.items()}
    for channel, seed in seeds.items():
        history[channel]["seed"] = seed
    return history


def _in_order(ancestor: Ancestor, values: Values, tasks: Sequence[TaskWrites]) -> Iterator[tuple[str, PendingWrite]]:
    """Yield what was written to the channels of an ancestor, in the order in which it was applied."""
    found = [(task.task_path, task.task_id, write.idx, write) for task in tasks for write in task.writes]
    place, name = ancestor.found.place, ancestor.found.checkpoint_id
    for _, task_id, _, write in sorted(found, key=lambda item: writes_sort_key(*item[:3])):
        if write.channel in ancestor.channels:
            value = values.value(place, name, write.channel, write.entry)
            yield write.channel, (task_id, write.channel, value)
