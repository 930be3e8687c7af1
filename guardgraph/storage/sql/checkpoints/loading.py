"""Reading checkpoints and the history of delta channels: a few queries for each page of checkpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    writes_sort_key,
)
from sqlalchemy import Connection, Engine, Row

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import Place, checked_id, config_at, place_in, value_key
from guardgraph.storage.sql.statements import (
    Query,
    ancestors,
    checkpoint_at,
    checkpoints_matching,
    chunks,
    lines_of,
    values_at,
    writes_at,
)

__all__ = (
    "PAGE",
    "Ancestor",
    "ancestors_until_stored",
    "load_checkpoint",
    "load_history",
    "load_pages",
    "load_values",
    "namespaces_of",
    "query_in",
    "value_keys",
)

PAGE = 100
"""How many checkpoints are read at once."""
_ANCESTORS = 128
"""How many ancestors are read at once; a delta channel stores its value every 100 updates by default."""


class Ancestor(NamedTuple):
    """One ancestor of a checkpoint, and what it contributes to the delta channels that are rebuilt from it."""

    checkpoint_id: str
    channels: frozenset[str]
    """The channels that no nearer ancestor has a stored value of."""
    values: dict[str, bytes]
    """The stored value of each of `channels` that has one here, by channel."""


class _Found(NamedTuple):
    """A checkpoint's row, unpacked, with the place it is at."""

    place: Place
    row: Row[Any]
    body: dict[str, Any]
    metadata: dict[str, Any]


def query_in(
    config: RunnableConfig | None, *, filter: Mapping[str, Any] | None, before: RunnableConfig | None
) -> Query:
    """Return the query of a config, whose missing parts match anything.

    Raises:
        BadInput: an id in it cannot be one.
    """
    wanted = filter or {}
    last = before.get("configurable", {}).get("checkpoint_id") if before else None
    last = checked_id("checkpoint_id", last) if last else None
    if config is None:
        return Query(None, None, None, last, wanted)
    place = place_in(config)
    named = config.get("configurable", {}).get("checkpoint_ns") is not None
    return Query(place.thread_id, place.namespace if named else None, place.checkpoint_id, last, wanted)


def load_checkpoint(connection: Connection, codec: Codec, place: Place) -> CheckpointTuple | None:
    """Return the checkpoint that `place` names, or the newest of its line, or None."""
    row = connection.execute(checkpoint_at(place)).one_or_none()
    if row is None:
        return None
    found = _unpacked(codec, Place(place.thread_id, place.namespace, row.checkpoint_id), row)
    return _tuples(connection, codec, [found])[0]


def namespaces_of(engine: Engine, thread_id: str) -> list[str]:
    """Return the checkpoint namespaces of a thread: the empty one, and one for each nested graph that has run."""
    with read_transaction(migrate(engine), thread_id=thread_id) as connection:
        return [line.checkpoint_ns for line in connection.execute(lines_of(thread_id))]


def load_pages(engine: Engine, codec: Codec, query: Query, limit: int | None) -> Iterator[list[CheckpointTuple]]:
    """Yield the checkpoints that `query` matches, newest first, in pages; each is read in a transaction of its own."""
    after: tuple[str, bytes] | None = None
    while limit is None or limit > 0:
        size = PAGE if limit is None or query.filter else min(limit, PAGE)
        with read_transaction(migrate(engine), thread_id=query.thread_id) as connection:
            rows = connection.execute(checkpoints_matching(query, after=after, limit=size)).all()
            places = (Place(row.thread_id, row.checkpoint_ns, row.checkpoint_id) for row in rows)
            unpacked = (_unpacked(codec, place, row) for place, row in zip(places, rows, strict=True))
            found = [item for item in unpacked if _matches(item.metadata, query.filter)][:limit]
            page = _tuples(connection, codec, found)
        yield page
        if len(rows) < size:
            return
        after = (rows[-1].checkpoint_id, rows[-1].line)
        limit = None if limit is None else limit - len(page)


def ancestors_until_stored(
    connection: Connection, codec: Codec, line: bytes, checkpoint_id: str, channels: Collection[str]
) -> Iterator[list[Ancestor]]:
    """Yield the ancestors of a checkpoint in pages, its parent first, until each channel's last stored value."""
    seen, missing = {checkpoint_id}, frozenset(channels)
    while missing:
        rows = connection.execute(ancestors(line, checkpoint_id, limit=_ANCESTORS)).all()
        unseen = (row for row in rows if row.checkpoint_id not in seen)
        keys = {row.checkpoint_id: value_keys(codec.loads(bytes(row.body))) for row in unseen}
        if not keys:
            return
        stored = load_values(connection, line, {of[channel] for of in keys.values() for channel in missing & of.keys()})
        page: list[Ancestor] = []
        for checkpoint_id, of in keys.items():
            if not missing:
                break
            values = {channel: stored[of[channel]] for channel in missing & of.keys() if of[channel] in stored}
            page.append(Ancestor(checkpoint_id, missing, values))
            missing -= values.keys()
        yield page
        seen.update(keys)


def load_history(
    connection: Connection, codec: Codec, place: Place, channels: Sequence[str]
) -> Mapping[str, DeltaChannelHistory]:
    """Return for each channel the nearest ancestor's stored value, and all writes since, oldest first."""
    target = connection.execute(checkpoint_at(place)).one_or_none()
    newest_first: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    seeds: dict[str, bytes] = {}
    for page in ancestors_until_stored(connection, codec, place.line, target.checkpoint_id, channels) if target else ():
        rows = _writes(connection, place.line, page)
        for ancestor in page:
            for task_id, channel, data in reversed([*_in_order(rows[ancestor.checkpoint_id])]):
                if channel in ancestor.channels:
                    newest_first[channel].append((task_id, channel, codec.loads(data)))
            seeds |= ancestor.values
    history: dict[str, DeltaChannelHistory] = {name: {"writes": writes[::-1]} for name, writes in newest_first.items()}
    for channel, seed in seeds.items():
        history[channel]["seed"] = codec.loads(seed)
    return history


def value_keys(body: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the key of each channel's value in a checkpoint; a channel that is empty has a key and no row."""
    return {channel: value_key(channel, version) for channel, version in body["channel_versions"].items()}


def load_values(connection: Connection, line: bytes, keys: set[bytes]) -> dict[bytes, bytes]:
    """Return the packed values that are stored under `keys`."""
    found: dict[bytes, bytes] = {}
    for some in chunks(keys):
        found.update((bytes(row.value), bytes(row.data)) for row in connection.execute(values_at(line, some)))
    return found


def _in_order(rows: Sequence[Row[Any]]) -> Iterator[tuple[str, str, bytes]]:
    """Yield task id, channel and packed value of writes, in the order in which they were applied."""
    unpacked = ((_text(row.task_path), row.task_id, row.idx, row) for row in rows)
    for _, task_id, _, row in sorted(unpacked, key=lambda item: writes_sort_key(*item[:3])):
        yield task_id, _text(row.channel), bytes(row.data)


def _unpacked(codec: Codec, place: Place, row: Row[Any]) -> _Found:
    return _Found(place, row, codec.loads(bytes(row.body)), codec.loads(bytes(row.metadata)))


def _matches(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in metadata and _same(metadata[key], value) for key, value in wanted.items())


def _same(one: object, other: object) -> bool:
    # True == 1 in Python; in metadata they are two values.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _tuples(connection: Connection, codec: Codec, found: Sequence[_Found]) -> list[CheckpointTuple]:
    by_line: defaultdict[bytes, list[_Found]] = defaultdict(list)
    for item in found:
        by_line[item.place.line].append(item)
    packed: dict[bytes, dict[bytes, bytes]] = {}
    pending: defaultdict[tuple[bytes, str], list[Row[Any]]] = defaultdict(list)
    for line, items in by_line.items():
        keys = {key for item in items for key in value_keys(item.body).values()}
        packed[line] = load_values(connection, line, keys)
        for ids in chunks(item.row.checkpoint_id for item in items):
            for row in connection.execute(writes_at(line, ids)):
                pending[line, row.checkpoint_id].append(row)
    return [
        _tuple(codec, item, packed[item.place.line], pending[item.place.line, item.row.checkpoint_id]) for item in found
    ]


def _tuple(codec: Codec, found: _Found, packed: Mapping[bytes, bytes], rows: Sequence[Row[Any]]) -> CheckpointTuple:
    place, parent_id = found.place, found.row.parent_id
    channel_values = {
        channel: codec.loads(packed[key]) for channel, key in value_keys(found.body).items() if key in packed
    }
    writes: list[PendingWrite] = [(task_id, channel, codec.loads(data)) for task_id, channel, data in _in_order(rows)]
    return CheckpointTuple(
        config=config_at(place.thread_id, place.namespace, found.row.checkpoint_id),
        checkpoint=cast(Checkpoint, {**found.body, "channel_values": channel_values}),
        metadata=cast(CheckpointMetadata, found.metadata),
        parent_config=config_at(place.thread_id, place.namespace, parent_id) if parent_id else None,
        pending_writes=writes,
    )


def _text(data: bytes) -> str:
    return bytes(data).decode("utf-8", "surrogatepass")


def _writes(connection: Connection, line: bytes, page: Sequence[Ancestor]) -> defaultdict[str, list[Row[Any]]]:
    """Return the rows of what was written at the ancestors of a page, by the id of their checkpoint."""
    found: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for ids in chunks(ancestor.checkpoint_id for ancestor in page):
        for row in connection.execute(writes_at(line, ids, page[0].channels)):
            found[row.checkpoint_id].append(row)
    return found
