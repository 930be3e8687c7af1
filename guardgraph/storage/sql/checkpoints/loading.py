"""Reading checkpoints: a few queries for each page of them. Each is compared with the digests of what it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from logging import getLogger
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, CheckpointTuple, PendingWrite, writes_sort_key
from sqlalchemy import Connection, Engine

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.checkpoints.memory import Manifest, Namespace
from guardgraph.storage.sql.checkpoints.packing import (
    Entry,
    Write,
    damage,
    head_seal,
    task_mark,
    unpack_checkpoint,
    unpack_writes,
)
from guardgraph.storage.sql.checkpoints.values import Values
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import Place, checked_id, config_at, place_in
from guardgraph.storage.sql.statements import (
    Query,
    checkpoint_at,
    checkpoints_matching,
    namespaces_counted,
    namespaces_of_thread,
    writes_at,
)

__all__ = (
    "PAGE",
    "Found",
    "TaskWrites",
    "find_checkpoint",
    "load_checkpoint",
    "load_pages",
    "lost_writes",
    "namespaces_of",
    "place_of_row",
    "query_in",
    "read_found",
    "writes_of",
)

PAGE = 100
"""How many checkpoints are read at once."""

_log = getLogger(__name__)


class TaskWrites(NamedTuple):
    """What one task wrote at a checkpoint."""

    task_id: str
    task_path: str
    writes: list[Write]


class Found(NamedTuple):
    """A checkpoint whose row is what was stored."""

    place: Place
    at: Namespace
    checkpoint_id: str
    parent_id: str | None
    run_id: str | None
    core: bytes
    metadata: bytes
    entries: dict[str, Entry]
    tasks: frozenset[bytes]
    """The marks of the tasks whose writes at its parent were stored before it."""
    pending: int = 0
    """How many tasks have written at it at least."""


def query_in(
    config: RunnableConfig | None,
    *,
    filter: Mapping[str, Any] | None,
    before: RunnableConfig | None,
    tenant: str,
) -> Query:
    """Return the query of a config, whose missing parts match anything of the tenant.

    Raises:
        BadInput: an id in it cannot be one.
    """
    wanted = filter or {}
    last = before.get("configurable", {}).get("checkpoint_id") if before else None
    last = checked_id("checkpoint_id", last) if last else None
    if config is None:
        return Query(tenant, None, None, None, last, wanted)
    place = place_in(config, tenant=tenant)
    named = config.get("configurable", {}).get("checkpoint_ns") is not None
    return Query(tenant, place.thread_id, place.namespace if named else None, place.checkpoint_id, last, wanted)


def find_checkpoint(connection: Connection, place: Place) -> Found | None:
    """Return the checkpoint that `place` names, or the newest of its namespace, or None; no value is read yet.

    Raises:
        StorageCorrupt: its row, or that of its namespace, is not what was stored.
    """
    row = checkpoint_at(connection, place)
    if row is None:
        _check_missing(connection, place)
        return None
    if (row["tenant"], row["thread_id"], row["checkpoint_ns"]) != (place.tenant, place.thread_id, place.namespace):
        raise damage(place, None, "name", "its namespace is not what was stored")
    is_sealed = bytes(row["seal"]) == head_seal(place.name, row["head"])
    if place.checkpoint_id is None and not (is_sealed and row["head"] == row["last"]):
        raise damage(place, row["last"] or row["head"], "head", "the newest checkpoint is missing, or another one")
    return None if row["checkpoint_id"] is None else read_found(place, row)


def _check_missing(connection: Connection, place: Place) -> None:
    """Raise `StorageCorrupt` where a namespace that is not there may have been stored."""
    counts = namespaces_counted(connection, place)
    if counts is not None and counts.like:
        raise damage(place, None, "name", "its namespace is not found by its digest")
    if counts is not None and counts.there != counts.counted:
        reason = f"it has {counts.there} namespaces, and {counts.counted} were counted"
        raise damage(place, None, "namespaces", reason)


def read_found(place: Place, row: Mapping[Any, Any], *, at: Namespace | None = None) -> Found:
    """Return what a row of a checkpoint holds. Raises `StorageCorrupt` where it is not what was stored."""
    unpacked = unpack_checkpoint(place, row)
    at, name = at or Namespace(row["namespace_id"], row["generation"]), row["checkpoint_id"]
    here = place._replace(checkpoint_id=name)
    ids = (name, row["parent_id"], row["run_id"])
    metadata = bytes(row["metadata"])
    pending = row["pending"] if row.get("head") == name else 0
    return Found(here, at, *ids, unpacked.core, metadata, unpacked.entries, unpacked.tasks, pending)


def place_of_row(row: Mapping[Any, Any]) -> Place:
    """Return the place of a row that has the columns of its namespace and of one checkpoint.

    Raises:
        StorageCorrupt: the digest of the namespace is another one.
    """
    place = Place(row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"], row["tenant"])
    if place.name != bytes(row["name"]):
        raise damage(place, row["checkpoint_id"], "name", "its namespace is not what was stored")
    return place


def load_checkpoint(
    connection: Connection, codec: Codec, place: Place, *, remember: Callable[[Found, Manifest, Values], None]
) -> CheckpointTuple | None:
    """Return the checkpoint that `place` names, or the newest of its namespace, or None."""
    found = find_checkpoint(connection, place)
    if found is None:
        return None
    values = Values(codec)
    ((writes, fault),) = writes_of(connection, values, [found])
    if fault:
        raise fault
    loaded = _tuple(codec, found, values, writes)
    remember(found, Manifest(loaded.checkpoint["channel_versions"], found.entries), values)
    return loaded


def namespaces_of(engine: Engine, thread_id: str, *, tenant: str) -> list[str]:
    """Return the checkpoint namespaces of a thread: the empty one, and one for each nested graph that has run."""
    with read_transaction(migrate(engine), thread_id=thread_id) as connection:
        return [row.checkpoint_ns for row in connection.execute(namespaces_of_thread(tenant, thread_id))]


def load_pages(engine: Engine, codec: Codec, query: Query, limit: int | None) -> Iterator[list[CheckpointTuple]]:
    """Yield the checkpoints that `query` matches, newest first, in pages; each is read in a transaction of its own.

    What is damaged is left out, and logged as an error.
    """
    after: tuple[str, int] | None = None
    while limit is None or limit > 0:
        size = PAGE if limit is None or query.filter else min(limit, PAGE)
        with read_transaction(migrate(engine), thread_id=query.thread_id) as connection:
            rows = connection.execute(checkpoints_matching(query, after=after, limit=size)).mappings().all()
            found = [item for row in rows if (item := _found_or_logged(row))]
            found = [item for item in found if _matches(codec, item.metadata, query.filter)]
            page = _tuples(connection, codec, found[:limit])
            if limit is not None and len(page) < limit:  # in the place of those that are left out
                page += _tuples(connection, codec, found[limit:])[: limit - len(page)]
        yield page
        if len(rows) < size:
            return
        after = (rows[-1]["checkpoint_id"], rows[-1]["namespace_id"])
        limit = None if limit is None else limit - len(page)


def writes_of(
    connection: Connection, values: Values, found: Sequence[Found]
) -> list[tuple[list[TaskWrites], StorageCorrupt | None]]:
    """Return what tasks wrote at some checkpoints of one namespace, and the first damage to that or to their values."""
    if not found:
        return []
    t = found[0].at.namespace_id
    by_id = {item.checkpoint_id: item for item in found}
    writes: dict[str, list[TaskWrites]] = {name: [] for name in by_id}
    faults: dict[str, StorageCorrupt] = {}
    for row in writes_at.rows(connection, by_id, {"namespace_id": t}):
        try:
            unpacked = unpack_writes(by_id[row.checkpoint_id].place, row.checkpoint_id, row.task_id, bytes(row.data))
            writes[row.checkpoint_id].append(TaskWrites(row.task_id, *unpacked))
        except StorageCorrupt as error:
            faults.setdefault(row.checkpoint_id, error)
    for item in found:
        if item.parent_id in by_id and (fault := lost_writes(item, writes[item.parent_id])):
            faults.setdefault(item.parent_id, fault)
        if len(writes[item.checkpoint_id]) < item.pending:
            reason = (
                f"{item.pending} tasks have written at it at least, and {len(writes[item.checkpoint_id])} are there"
            )
            faults.setdefault(item.checkpoint_id, damage(item.place, item.checkpoint_id, "writes", reason))
    pending = [write.entry for some in writes.values() for task in some for write in task.writes]
    values.read(connection, t, [*pending, *(entry for item in found for entry in item.entries.values())])
    for item in found:
        try:
            _check(item, values, writes[item.checkpoint_id])
        except StorageCorrupt as error:
            faults.setdefault(item.checkpoint_id, error)
    return [(writes[name], faults.get(name)) for name in by_id]


def lost_writes(child: Found, there: Iterable[TaskWrites]) -> StorageCorrupt | None:
    """Return the error where the parent of a checkpoint does not hold all that tasks had written at it.

    `there` is what it holds. Writes that were stored after the checkpoint are not known to it.
    """
    lost = len(child.tasks.difference(task_mark(task.task_id) for task in there)) if child.tasks else 0
    if not lost:
        return None
    return damage(child.place, child.parent_id, "writes", f"what {lost} of its tasks wrote is missing")


def _check(found: Found, values: Values, writes: Sequence[TaskWrites]) -> None:
    for channel, entry in found.entries.items():
        values.check(found.place, found.checkpoint_id, channel, entry)
    for task in writes:
        for write in task.writes:
            values.check(found.place, found.checkpoint_id, write.channel, write.entry)


def _found_or_logged(row: Mapping[Any, Any]) -> Found | None:
    try:
        return read_found(place_of_row(row), row)
    except StorageCorrupt as error:
        _log.error("left out of a listing: %s", error)
        return None


def _matches(codec: Codec, metadata: bytes, wanted: Mapping[str, Any]) -> bool:
    if not wanted:
        return True
    facts = codec.loads(metadata)
    return all(key in facts and _same(facts[key], value) for key, value in wanted.items())


def _same(one: object, other: object) -> bool:
    # True == 1 in Python; in metadata they are two values.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _tuples(connection: Connection, codec: Codec, found: Sequence[Found]) -> list[CheckpointTuple]:
    by_namespace: dict[bytes, list[Found]] = {}
    for item in found:
        by_namespace.setdefault(item.place.name, []).append(item)
    loaded: dict[tuple[bytes, str], CheckpointTuple] = {}
    for name, items in by_namespace.items():
        values = Values(codec, shared=True)
        for item, (writes, fault) in zip(items, writes_of(connection, values, items), strict=True):
            if fault:
                _log.error("left out of a listing: %s", fault)
            else:
                loaded[name, item.checkpoint_id] = _tuple(codec, item, values, writes)
    keys = ((item.place.name, item.checkpoint_id) for item in found)
    return [loaded[key] for key in keys if key in loaded]


def _tuple(codec: Codec, found: Found, values: Values, tasks: Sequence[TaskWrites]) -> CheckpointTuple:
    place, name = found.place, found.checkpoint_id
    channel_values = {channel: values.value(place, name, channel, entry) for channel, entry in found.entries.items()}
    ordered = sorted(
        ((task.task_path, task.task_id, write.idx, write) for task in tasks for write in task.writes),
        key=lambda item: writes_sort_key(*item[:3]),
    )
    writes: list[PendingWrite] = [
        (task_id, write.channel, values.value(place, name, write.channel, write.entry))
        for _, task_id, _, write in ordered
    ]
    parent = config_at(place.thread_id, place.namespace, found.parent_id) if found.parent_id else None
    return CheckpointTuple(
        config=config_at(place.thread_id, place.namespace, name),
        checkpoint=cast(Checkpoint, {**codec.loads(found.core), "channel_values": channel_values}),
        metadata=cast(CheckpointMetadata, codec.loads(found.metadata)),
        parent_config=parent,
        pending_writes=writes,
    )
