"""Deleting, copying and pruning threads of one tenant; each is called inside one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, delete, func, literal, select, update

from guardgraph.state import BadInput
from guardgraph.storage.sql.checkpoints.history import ancestors_until_stored
from guardgraph.storage.sql.checkpoints.loading import Found, find_checkpoint, read_found
from guardgraph.storage.sql.checkpoints.packing import (
    Entry,
    blob_key,
    head_seal,
    pack_writes,
    sealed_checkpoint,
    tokens_in,
    unpack_writes,
)
from guardgraph.storage.sql.checkpoints.storing import namespace_at
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.prepared import batches
from guardgraph.storage.sql.statements import namespaces_of_thread
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, writes

__all__ = ("DELTA_COUNTERS", "copy_thread", "delete_checkpoints", "delete_runs", "delete_thread", "keep_latest")

DELTA_COUNTERS = "counters_since_delta_snapshot"
"""The key in the metadata of a checkpoint: its delta channels, most of which it does not hold itself."""
_SEAL = 16


def delete_thread(connection: Connection, tenant: str, thread_id: str) -> list[bytes]:
    """Delete all that is stored of a thread, and return its namespaces; an unknown one is no error."""
    found = connection.execute(namespaces_of_thread(tenant, thread_id)).all()
    for row in found:
        _delete_namespace(connection, row.namespace_id)
    return [bytes(row.name) for row in found]


def delete_runs(connection: Connection, tenant: str, run_ids: Sequence[str]) -> list[bytes]:
    """Delete the checkpoints of some runs with their writes, and the values that nothing else needs.

    A thread that goes on after a deleted run loses the history of its delta channels from before the next snapshot.
    Returns the namespaces that were changed.
    """
    table = checkpoints.c
    touched: dict[int, Row[Any]] = {}
    ids: dict[int, list[str]] = {}
    for some in batches(run_ids):
        found = select(namespaces, table.checkpoint_id).join(
            checkpoints, table.namespace_id == namespaces.c.namespace_id
        )
        for row in connection.execute(found.where(namespaces.c.tenant == tenant, table.run_id.in_(some))).all():
            touched[row.namespace_id] = row
            ids.setdefault(row.namespace_id, []).append(row.checkpoint_id)
    for t, row in touched.items():
        delete_checkpoints(connection, row, ids[t])
    return [bytes(row.name) for row in touched.values()]


def copy_thread(connection: Connection, tenant: str, source: str, target: str) -> None:
    """Copy every checkpoint, value and write of a thread to a new one; an unknown source copies nothing.

    Raises:
        BadInput: the target already exists; two histories are never mixed.
        StorageCorrupt: a part of the source is damaged.
    """
    if connection.execute(namespaces_of_thread(tenant, target)).first():
        raise BadInput(
            f"cannot copy thread {source!r} to {target!r}: that thread exists; delete it, or choose another id"
        )
    for row in connection.execute(namespaces_of_thread(tenant, source)).all():
        old, new = Place(source, row.checkpoint_ns, None, tenant), Place(target, row.checkpoint_ns, None, tenant)
        t = namespace_at(connection, new).namespace_id
        seal = head_seal(new.name, row.head)
        connection.execute(update(namespaces).where(namespaces.c.namespace_id == t).values(head=row.head, seal=seal))
        for table in (chunks, blobs):
            names = [column.name for column in table.columns if column.name != "namespace_id"]
            rows = select(literal(t, BigInteger), *(table.c[name] for name in names)).where(
                table.c.namespace_id == row.namespace_id
            )
            connection.execute(table.insert().from_select(["namespace_id", *names], rows))
        _copy_sealed(connection, row, t, old, new)


def _copy_sealed(connection: Connection, row: Row[Any], t: int, old: Place, new: Place) -> None:
    """Copy the rows that belong to their thread by a digest."""
    for stored in connection.execute(
        select(checkpoints).where(checkpoints.c.namespace_id == row.namespace_id)
    ).mappings():
        read_found(old, {**stored, "generation": 0})
        content = {
            **stored,
            "namespace_id": t,
            "body": bytes(stored["body"])[_SEAL:],
            "metadata": bytes(stored["metadata"]),
        }
        connection.execute(checkpoints.insert(), sealed_checkpoint(new.name, content))
    for stored in connection.execute(select(writes).where(writes.c.namespace_id == row.namespace_id)).all():
        path, items = unpack_writes(old, stored.checkpoint_id, stored.task_id, bytes(stored.data))
        data = pack_writes(new.name, stored.checkpoint_id, stored.task_id, path, items)
        ids = {"checkpoint_id": stored.checkpoint_id, "task_id": stored.task_id}
        connection.execute(writes.insert(), {"namespace_id": t, **ids, "data": data})


def keep_latest(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> list[bytes]:
    """Delete all but the newest checkpoint of each namespace of a thread, and return the namespaces.

    Ancestors that hold what a delta channel is rebuilt from are kept, back to each such channel's last stored value.
    """
    found = connection.execute(namespaces_of_thread(tenant, thread_id)).all()
    for row in found:
        newest = find_checkpoint(connection, Place(thread_id, row.checkpoint_ns, None, tenant))
        if newest is None:
            continue
        kept = {newest.checkpoint_id, *_needed(connection, codec, newest)}
        ids = connection.execute(
            select(checkpoints.c.checkpoint_id).where(checkpoints.c.namespace_id == row.namespace_id)
        ).scalars()
        delete_checkpoints(connection, row, [item for item in ids.all() if item not in kept])
    return [bytes(row.name) for row in found]


def _needed(connection: Connection, codec: Codec, newest: Found) -> list[str]:
    """Return the ancestors from which the delta channels of a checkpoint are rebuilt."""
    counters: dict[str, Any] = codec.loads(newest.metadata).get(DELTA_COUNTERS) or {}
    missing = counters.keys() - newest.entries.keys()
    pages = ancestors_until_stored(connection, newest, missing)
    return [ancestor.found.checkpoint_id for page in pages for ancestor in page]


def delete_checkpoints(connection: Connection, row: Row[Any], ids: Collection[str]) -> None:
    """Delete checkpoints of a namespace with their writes, the values that nothing else needs, and what is empty then.

    A checkpoint whose parent is deleted has none afterwards, so that a missing parent is always a damage.
    """
    if not ids:
        return
    place = Place(row.thread_id, row.checkpoint_ns, None, row.tenant)
    for some in batches(ids):
        for table in (writes, checkpoints):
            connection.execute(
                delete(table).where(table.c.namespace_id == row.namespace_id, table.c.checkpoint_id.in_(some))
            )
    for some in batches(ids):
        orphans = select(checkpoints).where(
            checkpoints.c.namespace_id == row.namespace_id, checkpoints.c.parent_id.in_(some)
        )
        for orphan in connection.execute(orphans).mappings().all():
            read_found(place, {**orphan, "generation": 0})
            content = {**orphan, "parent_id": None, "body": bytes(orphan["body"])[_SEAL:]}
            sealed = sealed_checkpoint(place.name, content)
            is_it = (
                checkpoints.c.namespace_id == row.namespace_id,
                checkpoints.c.checkpoint_id == orphan["checkpoint_id"],
            )
            connection.execute(update(checkpoints).where(*is_it).values(parent_id=None, body=sealed["body"]))
    head = connection.execute(
        select(func.max(checkpoints.c.checkpoint_id)).where(checkpoints.c.namespace_id == row.namespace_id)
    ).scalar()
    if head is None:
        _delete_namespace(connection, row.namespace_id)
        return
    moved = {"generation": namespaces.c.generation + 1, "head": head, "seal": head_seal(place.name, head)}
    connection.execute(update(namespaces).where(namespaces.c.namespace_id == row.namespace_id).values(moved))
    _sweep(connection, row.namespace_id, place)


def _sweep(connection: Connection, t: int, place: Place) -> None:
    """Delete the chunks and blobs of a namespace that no checkpoint and no write names."""
    found = [
        read_found(place, {**row, "generation": 0})
        for row in connection.execute(select(checkpoints).where(checkpoints.c.namespace_id == t)).mappings()
    ]
    entries: list[Entry] = [entry for item in found for entry in item.entries.values()]
    for row in connection.execute(select(writes).where(writes.c.namespace_id == t)):
        entries += [write.entry for write in unpack_writes(place, row.checkpoint_id, row.task_id, bytes(row.data))[1]]
    lengths: dict[int, int] = {}
    for branch, upto, _ in (segment for entry in entries if isinstance(entry, tuple) for segment in entry):
        lengths[branch] = max(upto, lengths.get(branch, 0))
    named = {key for entry in entries if not isinstance(entry, tuple) for key in _blobs(entry)}
    for row in connection.execute(select(chunks).where(chunks.c.namespace_id == t)).all():
        if row.lo < lengths.get(row.branch, 0):
            named.update(_blobs(tokens_in(bytes(row.data), row.hi - row.lo)))
        else:
            is_it = (chunks.c.namespace_id == t, chunks.c.branch == row.branch, chunks.c.lo == row.lo)
            connection.execute(delete(chunks).where(*is_it))
    stored = connection.execute(select(blobs.c.hash).where(blobs.c.namespace_id == t)).scalars().all()
    for some in batches(bytes(key) for key in stored if bytes(key) not in named):
        connection.execute(delete(blobs).where(blobs.c.namespace_id == t, blobs.c.hash.in_(some)))


def _blobs(entry: bytes | list[bytes]) -> Iterable[bytes]:
    tokens = [entry] if isinstance(entry, bytes) else entry
    return [key for token in tokens if (key := blob_key(token))]


def _delete_namespace(connection: Connection, t: int) -> None:
    for table in (writes, blobs, chunks, checkpoints, namespaces):
        connection.execute(delete(table).where(table.c.namespace_id == t))
