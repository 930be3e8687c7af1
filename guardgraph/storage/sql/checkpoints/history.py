"""The history of delta channels: what ancestors wrote since the last stored value, in three queries a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite
from sqlalchemy import Connection, Row

from guardgraph.storage.sql.checkpoints.loading import in_order, load_values, value_keys
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import ancestors, checkpoint_at, chunks, writes_at

__all__ = ("Ancestor", "ancestors_of", "load_history")

_PAGE = 128
"""How many ancestors are read at once; a delta channel stores its value every 100 updates by default."""


class Ancestor(NamedTuple):
    """One checkpoint on the way to the root, with the keys of its channels' values."""

    checkpoint_id: str
    keys: dict[str, bytes]


def ancestors_of(connection: Connection, codec: Codec, line: bytes, checkpoint_id: str) -> Iterator[list[Ancestor]]:
    """Give the ancestors of a checkpoint in pages, its parent first; the caller stops when it has enough."""
    seen = {checkpoint_id}
    while True:
        rows = connection.execute(ancestors(line, checkpoint_id, limit=_PAGE)).all()
        page = [
            Ancestor(row.checkpoint_id, value_keys(codec.loads(bytes(row.body))))
            for row in rows
            if row.checkpoint_id not in seen
        ]
        if not page:
            return
        yield page
        seen.update(item.checkpoint_id for item in page)
        checkpoint_id = page[-1].checkpoint_id


def load_history(
    connection: Connection, codec: Codec, place: Place, channels: Sequence[str]
) -> Mapping[str, DeltaChannelHistory]:
    """Return for each channel the nearest ancestor's stored value, and all writes since, oldest first."""
    target = connection.execute(checkpoint_at(place)).one_or_none()
    newest_first: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    seeds: dict[str, bytes] = {}
    pages = () if target is None else ancestors_of(connection, codec, place.line, target.checkpoint_id)
    for page in pages:
        wanted = [channel for channel in newest_first if channel not in seeds]
        stored = _stored(connection, place.line, page, wanted)
        rows = _writes(connection, place.line, page, wanted)
        for ancestor in page:
            open_channels = {channel for channel in wanted if channel not in seeds}
            for task_id, channel, data in reversed(list(in_order(rows[ancestor.checkpoint_id]))):
                if channel in open_channels:
                    newest_first[channel].append((task_id, channel, codec.loads(data)))
            for channel in open_channels:
                if (data := stored.get(ancestor.keys.get(channel, b""))) is not None:
                    seeds[channel] = data
        if len(seeds) == len(newest_first):
            break
    return {channel: _entry(codec, writes, seeds.get(channel)) for channel, writes in newest_first.items()}


def _entry(codec: Codec, newest_first: list[PendingWrite], seed: bytes | None) -> DeltaChannelHistory:
    writes = newest_first[::-1]
    return {"writes": writes} if seed is None else {"writes": writes, "seed": codec.loads(seed)}


def _stored(
    connection: Connection, line: bytes, page: Sequence[Ancestor], channels: Sequence[str]
) -> dict[bytes, bytes]:
    keys = {ancestor.keys[channel] for ancestor in page for channel in channels if channel in ancestor.keys}
    return load_values(connection, line, keys)


def _writes(
    connection: Connection, line: bytes, page: Sequence[Ancestor], channels: Sequence[str]
) -> defaultdict[str, list[Row[Any]]]:
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for ids in chunks(ancestor.checkpoint_id for ancestor in page):
        for row in connection.execute(writes_at(line, ids, channels)):
            found[row.checkpoint_id].append(row)
    return found
