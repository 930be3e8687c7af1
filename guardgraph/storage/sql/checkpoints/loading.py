"""Reading checkpoints: from rows to what LangGraph expects, with one query for values and one for writes a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, CheckpointTuple, PendingWrite, writes_sort_key
from sqlalchemy import Connection, Row

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place, checked_id, config_at, place_in, value_key
from guardgraph.storage.sql.statements import checkpoint_at, checkpoints_matching, chunks, values_at, writes_at

__all__ = ("PAGE", "Page", "Query", "in_order", "load_checkpoint", "load_page", "load_values", "query_in", "value_keys")

PAGE = 100
"""How many checkpoints are read at once."""


class Query(NamedTuple):
    """Which checkpoints to list; `None` means any. `filter` compares metadata by equality."""

    thread_id: str | None
    namespace: str | None
    checkpoint_id: str | None
    before: str | None
    filter: Mapping[str, Any]


class _Found(NamedTuple):
    """A checkpoint's row, unpacked, with the place it is at."""

    place: Place
    row: Row[Any]
    body: dict[str, Any]
    metadata: dict[str, Any]


class Page(NamedTuple):
    """Some checkpoints, and where the next page starts; `None` when this is the last one."""

    tuples: list[CheckpointTuple]
    after: tuple[str, bytes] | None


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


def load_page(
    connection: Connection, codec: Codec, query: Query, *, after: tuple[str, bytes] | None, limit: int
) -> Page:
    """Return one page of the checkpoints that `query` matches, newest first; `limit` bounds the page."""
    statement = checkpoints_matching(
        thread_id=query.thread_id,
        namespace=query.namespace,
        checkpoint_id=query.checkpoint_id,
        before=query.before,
        after=after,
        limit=limit,
    )
    rows = connection.execute(statement).all()
    unpacked = (_unpacked(codec, Place(row.thread_id, row.checkpoint_ns, row.checkpoint_id), row) for row in rows)
    found = [item for item in unpacked if _matches(item.metadata, query.filter)]
    last = (rows[-1].checkpoint_id, rows[-1].line) if len(rows) == limit else None
    return Page(_tuples(connection, codec, found), last)


def value_keys(body: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the key of each channel's value in a checkpoint; a channel that is empty has a key and no row."""
    return {channel: value_key(channel, version) for channel, version in body["channel_versions"].items()}


def load_values(connection: Connection, line: bytes, keys: set[bytes]) -> dict[bytes, bytes]:
    """Return the packed values that are stored under `keys`."""
    found: dict[bytes, bytes] = {}
    for some in chunks(keys):
        found.update((bytes(row.value), bytes(row.data)) for row in connection.execute(values_at(line, some)))
    return found


def in_order(rows: Sequence[Row[Any]]) -> Iterator[tuple[str, str, bytes]]:
    """Give task id, channel and packed value of writes, in the order in which they were applied."""
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
    writes: list[PendingWrite] = [(task_id, channel, codec.loads(data)) for task_id, channel, data in in_order(rows)]
    return CheckpointTuple(
        config=config_at(place.thread_id, place.namespace, found.row.checkpoint_id),
        checkpoint=cast(Checkpoint, {**found.body, "channel_values": channel_values}),
        metadata=cast(CheckpointMetadata, found.metadata),
        parent_config=config_at(place.thread_id, place.namespace, parent_id) if parent_id else None,
        pending_writes=writes,
    )


def _text(data: bytes) -> str:
    return bytes(data).decode("utf-8", "surrogatepass")
