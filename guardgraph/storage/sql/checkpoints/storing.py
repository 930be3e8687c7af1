"""Storing checkpoints and writes: what is to be stored as pure functions, and the statements inside a transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_serializable_checkpoint_metadata,
)
from sqlalchemy import Connection, delete, select, update

from guardgraph.storage.sql.checkpoints.inserts import (
    add_blob,
    add_chunk,
    add_namespace,
    add_write,
    count_namespace,
    move_head,
    namespace_named,
    set_checkpoint,
)
from guardgraph.storage.sql.checkpoints.lists import Chunk, KnownList, changed_list, new_list
from guardgraph.storage.sql.checkpoints.memory import Manifest, Namespace
from guardgraph.storage.sql.checkpoints.packing import (
    INLINE,
    Entry,
    Token,
    Write,
    blob_key,
    head_seal,
    is_vector,
    pack_checkpoint,
    pack_value,
    pack_write,
    pack_writes,
    sealed_checkpoint,
    unpack_writes,
)
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.deferred import run_deferred
from guardgraph.storage.sql.places import Place, checked_id
from guardgraph.storage.sql.tables import chunks, namespaces, writes

__all__ = (
    "FOLD",
    "Base",
    "Diverged",
    "Draft",
    "Moved",
    "draft_checkpoint",
    "draft_writes",
    "metadata_of",
    "namespace_at",
    "numbered",
    "store_blobs",
    "store_checkpoint",
    "store_writes",
)

FOLD = 64
"""How many elements of a branch become one chunk."""


class Moved(Exception):
    """Somebody else has deleted values of this namespace, so that what was remembered of it is void."""


class Diverged(Exception):
    """Somebody else has appended to a branch; store the list as one that branches off."""

    def __init__(self, branch: int) -> None:
        self.branch = branch
        super().__init__(branch)


class Base(NamedTuple):
    """What is known of what a checkpoint builds on."""

    parent: Manifest
    lists: Mapping[str, Sequence[KnownList]]
    closed: Collection[int]
    trust_identity: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """A checkpoint that is ready to be stored."""

    row: dict[str, Any]
    """All but its `body`, which also names the tasks whose writes are stored before."""
    core: bytes
    manifest: Manifest
    blobs: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    chunks: list[Chunk] = field(default_factory=list[Chunk])
    lists: dict[str, KnownList] = field(default_factory=dict[str, KnownList])


def draft_checkpoint(
    codec: Codec,
    base: Base,
    place: Place,
    checkpoint: Checkpoint,
    metadata: Mapping[str, Any],
    new_versions: ChannelVersions,
) -> Draft:
    """Return what has to be stored of a checkpoint; `place` names its parent, whose values it has at old versions."""
    versions, values = checkpoint["channel_versions"], checkpoint["channel_values"]
    entries: dict[str, Entry] = {}
    core = {key: item for key, item in checkpoint.items() if key != "channel_values"}
    draft = Draft({}, codec.dumps(core, where="checkpoint"), Manifest(dict(versions), entries))
    for channel, version in versions.items():
        is_new = channel in new_versions or base.parent.versions.get(channel) != version
        if not is_new and channel in base.parent.entries:
            entries[channel] = base.parent.entries[channel]
        elif channel in values:
            entries[channel] = _entry(codec, base, draft, channel, values[channel])
    run_id = metadata.get("run_id")
    draft.row.update(
        checkpoint_id=checked_id("checkpoint_id", checkpoint["id"]),
        parent_id=place.checkpoint_id,
        run_id=None if run_id is None else checked_id("run_id", run_id),
        metadata=codec.dumps(metadata, where="metadata"),
    )
    return draft


def metadata_of(config: RunnableConfig, metadata: CheckpointMetadata) -> Mapping[str, Any]:
    """Return the metadata of a checkpoint with what LangGraph takes for it from the config."""
    stored = cast(dict[str, Any], get_serializable_checkpoint_metadata(config, metadata))
    return stored | {key: item for key, item in metadata.items() if key in stored}  # LangGraph drops NUL from texts


def _entry(codec: Codec, base: Base, draft: Draft, channel: str, value: Any) -> Entry:
    """Return where `value` is stored, and add to `draft` what has to be stored of it."""

    def pack(at: int) -> Token:
        return pack_value(codec, value[at], where=f"{channel}[{at}]", blobs=draft.blobs)

    if type(value) is not list or is_vector(cast("list[Any]", value)):
        return pack_value(codec, value, where=channel, blobs=draft.blobs)
    known = _nearest(base, channel, value)
    if known is None:
        tokens = [pack(at) for at in range(len(cast("list[Any]", value)))]
        if sum(map(len, tokens)) < INLINE and not any(map(blob_key, tokens)):
            return pack_value(codec, value, where=channel, blobs=draft.blobs)
        stored = new_list(value, tokens, trust_identity=base.trust_identity)
    else:
        stored = changed_list(known, value, pack, closed=base.closed)
    draft.chunks.extend(stored.chunks)
    draft.lists[channel] = stored.known
    return stored.known.segments


def _nearest(base: Base, channel: str, value: list[Any]) -> KnownList | None:
    """Return the known list from which `value` was most probably made."""
    found = base.lists.get(channel, ())
    for known in found:
        if known.elements and value and known.elements[0] is value[0]:
            return known
    entry = base.parent.entries.get(channel)
    return next((known for known in found if known.segments == entry), found[0] if found else None)


def numbered(items: Sequence[tuple[str, Any]]) -> list[tuple[int, str, Any]]:
    """Return a task's writes with their numbers, which are negative for errors, interrupts and resume values."""
    return [(WRITES_IDX_MAP.get(channel, at), channel, value) for at, (channel, value) in enumerate(items)]


def draft_writes(codec: Codec, items: Sequence[tuple[int, str, Any]], *, blobs: dict[bytes, bytes]) -> list[Write]:
    """Return a task's numbered writes; large values are added to `blobs`."""
    return [
        Write(number, channel, pack_write(codec, value, where=channel, blobs=blobs)) for number, channel, value in items
    ]


def namespace_at(connection: Connection, place: Place) -> Namespace:
    """Return the row of a namespace, which is made where it does not exist."""
    name = {"of_name": place.name}
    if (found := namespace_named.first(connection, name)) is None:
        ids = {"tenant": place.tenant, "thread_id": place.thread_id, "checkpoint_ns": place.namespace}
        if add_namespace(connection, {"name": place.name, **ids, "head": None, "seal": head_seal(place.name, None)}):
            count_namespace(connection, ids)
        found = namespace_named.first(connection, name)
    return Namespace(*found)


def store_blobs(connection: Connection, at: Namespace, new: Mapping[bytes, bytes]) -> None:
    """Store blobs; those that are there are kept."""
    if new:
        t = at.namespace_id
        add_blob.each(connection, [{"namespace_id": t, "hash": key, "data": data} for key, data in new.items()])


def store_checkpoint(
    connection: Connection, place: Place, at: Namespace, draft: Draft, tasks: Collection[bytes]
) -> None:
    """Store a checkpoint and all that is new of its values; one of the same id is replaced.

    `tasks` are the marks of those whose writes at its parent are stored.

    Raises:
        Diverged: somebody else has appended to a branch.
        Moved: the namespace is gone, or of another generation.
    """
    for chunk in draft.chunks:
        row = {**chunk._asdict(), "namespace_id": at.namespace_id, "generation": at.generation}
        if add_chunk.one(connection, row) == 0:
            raise Diverged(chunk.branch)
        if not chunk.is_new and chunk.lo // FOLD != chunk.hi // FOLD:
            run_deferred(connection)
            _fold(connection, at.namespace_id, chunk)
    row = {**draft.row, "body": pack_checkpoint(place.namespace, draft.core, draft.manifest.entries, tasks)}
    set_checkpoint.each(connection, [{**sealed_checkpoint(place.name, row), "namespace_id": at.namespace_id}])
    head: str = draft.row["checkpoint_id"]
    new_head = {
        "head": head,
        "seal": head_seal(place.name, head),
        "of_namespace": at.namespace_id,
        "of_generation": at.generation,
    }
    if move_head.one(connection, new_head) == 0:
        table = namespaces.c
        is_same = (table.namespace_id == at.namespace_id, table.generation == at.generation)
        if connection.execute(select(table.namespace_id).where(*is_same)).first() is None:
            raise Moved


def _fold(connection: Connection, t: int, last: Chunk) -> None:
    """Make one chunk of those at the end of a branch, so that a long list is read in few rows."""
    table = chunks.c
    of_branch = (table.namespace_id == t, table.branch == last.branch)
    start = (last.hi // FOLD - 1) * FOLD
    found = connection.execute(
        select(table.lo, table.data).where(*of_branch, table.lo >= start).order_by(table.lo)
    ).all()
    if len(found) > 1:
        first = found[0].lo
        connection.execute(delete(chunks).where(*of_branch, table.lo > first))
        data = b"".join(bytes(row.data) for row in found)
        connection.execute(update(chunks).where(*of_branch, table.lo == first).values(hi=last.hi, data=data))


def store_writes(
    connection: Connection,
    place: Place,
    at: Namespace,
    items: Sequence[Write],
    *,
    task_id: str,
    task_path: str,
    replace: bool = False,
    is_new: bool = False,
) -> None:
    """Store a task's writes: an existing one is kept, but replaced where `idx` is negative, or all are to be replaced.

    `is_new` is whether there is probably none.

    Raises:
        Moved: the namespace is gone, or of another generation.
    """
    checkpoint_id = cast(str, place.checkpoint_id)
    row = {
        "namespace_id": at.namespace_id,
        "generation": at.generation,
        "checkpoint_id": checkpoint_id,
        "task_id": task_id,
    }
    data = pack_writes(place.name, checkpoint_id, task_id, task_path, items)
    if is_new and add_write.one(connection, {**row, "data": data}):
        return
    run_deferred(connection)
    if not is_new and add_write(connection, {**row, "data": data}):
        return
    of_task = (
        writes.c.namespace_id == at.namespace_id,
        writes.c.checkpoint_id == checkpoint_id,
        writes.c.task_id == task_id,
    )
    is_same = (namespaces.c.namespace_id == writes.c.namespace_id, namespaces.c.generation == at.generation)
    stored = connection.execute(select(writes.c.data).where(*of_task, *is_same)).scalar_one_or_none()
    if stored is None:
        raise Moved
    path, before = unpack_writes(place, checkpoint_id, task_id, bytes(stored))
    kept = {write.idx: write for write in before if write.idx < 0 or not replace}
    for write in items:
        kept[write.idx] = write if write.idx < 0 else kept.get(write.idx, write)
    data = pack_writes(place.name, checkpoint_id, task_id, path, [*kept.values()])
    connection.execute(update(writes).where(*of_task).values(data=data))
