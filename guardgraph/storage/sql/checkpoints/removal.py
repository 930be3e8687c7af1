"""Removing checkpoints of one namespace: what goes with them, as a decision apart from its effect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, func, select, update

from guardgraph.storage.sql.checkpoints.loading import read_found
from guardgraph.storage.sql.checkpoints.packing import (
    Entry,
    Token,
    blob_key,
    has_parts,
    head_seal,
    pack_checkpoint,
    part_keys,
    sealed_checkpoint,
    tokens_in,
    unpack_writes,
)
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.prepared import batches
from guardgraph.storage.sql.statements import blobs_at
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, threads, writes

__all__ = ("Removal", "is_row", "place_of_namespace", "removal_of", "remove", "size_of", "whole")

_SIZED = {checkpoints: ("body", "metadata"), writes: ("data",), chunks: ("data",), blobs: ("data",)}
"""The columns that hold what is stored, by their tables."""


class Removal(NamedTuple):
    """What is removed of a namespace."""

    namespace: Row[Any]
    ids: frozenset[str]
    """The checkpoints, whose writes go with them."""
    orphans: Mapping[str, str | None]
    """The new parents of checkpoints whose parents go: the nearest ancestors that are left."""
    chunks: list[tuple[int, int]]
    """The branch and the beginning of each chunk that nothing else names."""
    blobs: list[bytes]
    bytes: int
    """How much is freed, without keys and indexes."""
    head: str | None
    """The newest checkpoint that is left; `None` where nothing is."""


def place_of_namespace(row: Row[Any]) -> Place:
    """Return the place of a row of a namespace."""
    return Place(row.thread_id, row.checkpoint_ns, None, row.tenant)


def is_row(table: Any, namespace_id: int, **keys: Any) -> tuple[Any, ...]:
    """Return the conditions by which a row of a namespace is found."""
    return (table.c.namespace_id == namespace_id, *(table.c[name] == value for name, value in keys.items()))


def size_of(connection: Connection, namespace_id: int) -> int:
    """Return how many bytes a namespace holds, without keys and indexes."""
    size = 0
    for table, names in _SIZED.items():
        for name in names:
            total = select(func.sum(func.length(table.c[name]))).where(*is_row(table, namespace_id))
            size += int(connection.execute(total).scalar() or 0)
    return size


def removal_of(connection: Connection, row: Row[Any], ids: Collection[str]) -> Removal:
    """Return what goes where some checkpoints of a namespace do. Nothing is changed.

    Raises:
        StorageCorrupt: a row that is left is damaged, so that it is not known what it needs.
    """
    t, place, gone = row.namespace_id, place_of_namespace(row), frozenset(ids)
    parents: dict[str, str | None] = {}
    entries: list[Entry] = []
    size = 0
    for item in connection.execute(select(checkpoints).where(*is_row(checkpoints, t))).mappings():
        parents[item["checkpoint_id"]] = item["parent_id"]
        if item["checkpoint_id"] in gone:
            size += len(item["body"]) + len(item["metadata"])
        else:
            entries += read_found(place, {**item, "generation": 0}).entries.values()
    left = parents.keys() - gone
    if not left:
        return whole(connection, row)
    for item in connection.execute(select(writes).where(*is_row(writes, t))):
        if item.checkpoint_id in gone:
            size += len(item.data)
        else:
            entries += [
                one.entry for one in unpack_writes(place, item.checkpoint_id, item.task_id, bytes(item.data))[1]
            ]
    orphans = {name: _left_ancestor(parents, gone, name) for name in left if parents[name] in gone}
    unnamed_chunks, unnamed_blobs, freed = _unnamed(connection, t, entries)
    return Removal(row, gone, orphans, unnamed_chunks, unnamed_blobs, size + freed, max(left))


def whole(connection: Connection, row: Row[Any]) -> Removal:
    """Return the removal of a whole namespace, also of one that is damaged."""
    ids = connection.execute(
        select(checkpoints.c.checkpoint_id).where(*is_row(checkpoints, row.namespace_id))
    ).scalars()
    return Removal(row, frozenset(ids), {}, [], [], size_of(connection, row.namespace_id), None)


def remove(connection: Connection, removal: Removal) -> None:
    """Remove what was decided on, in the same transaction."""
    t, place = removal.namespace.namespace_id, place_of_namespace(removal.namespace)
    if removal.head is None:
        for table in (writes, blobs, chunks, checkpoints, namespaces):
            connection.execute(delete(table).where(*is_row(table, t)))
        of_thread = (threads.c.tenant == place.tenant, threads.c.thread_id == place.thread_id)
        connection.execute(update(threads).where(*of_thread).values(namespaces=threads.c.namespaces - 1))
        connection.execute(delete(threads).where(*of_thread, threads.c.namespaces <= 0))
        return
    for some in batches(removal.ids):
        for table in (writes, checkpoints):
            connection.execute(delete(table).where(*is_row(table, t), table.c.checkpoint_id.in_(some)))
    for name, parent_id in removal.orphans.items():
        is_it = is_row(checkpoints, t, checkpoint_id=name)
        orphan = connection.execute(select(checkpoints).where(*is_it)).mappings().one()
        found = read_found(place, {**orphan, "generation": 0})
        body = pack_checkpoint(place.namespace, found.core, found.entries)  # without the tasks of the parent that goes
        sealed = sealed_checkpoint(place.name, {**orphan, "parent_id": parent_id, "body": body})
        connection.execute(update(checkpoints).where(*is_it).values(parent_id=parent_id, body=sealed["body"]))
    for branch, lo in removal.chunks:
        connection.execute(delete(chunks).where(*is_row(chunks, t, branch=branch, lo=lo)))
    for some in batches(removal.blobs):
        connection.execute(delete(blobs).where(*is_row(blobs, t), blobs.c.hash.in_(some)))
    moved = {
        "generation": namespaces.c.generation + 1,
        "head": removal.head,
        "seal": head_seal(place.name, removal.head),
        "pending": removal.namespace.pending if removal.head == removal.namespace.head else 0,
    }
    connection.execute(update(namespaces).where(*is_row(namespaces, t)).values(moved))


def _left_ancestor(parents: Mapping[str, str | None], gone: Collection[str], name: str) -> str | None:
    """Return the nearest ancestor of a checkpoint that is left."""
    found = parents[name]
    while found is not None and found in gone:
        found = parents.get(found)
    return found


def _unnamed(
    connection: Connection, t: int, entries: Iterable[Entry]
) -> tuple[list[tuple[int, int]], list[bytes], int]:
    """Return the chunks and blobs of a namespace that no entry names, and their size."""
    lengths: dict[int, int] = {}
    named: set[Token] = set()
    for entry in entries:
        if isinstance(entry, tuple):
            for branch, upto, _ in entry:
                lengths[branch] = max(upto, lengths.get(branch, 0))
        else:
            named.update(filter(blob_key, [entry] if isinstance(entry, bytes) else entry))
    size = 0
    unnamed: list[tuple[int, int]] = []
    for row in connection.execute(select(chunks).where(*is_row(chunks, t))).all():
        if row.lo < lengths.get(row.branch, 0):
            named.update(filter(blob_key, tokens_in(bytes(row.data), row.hi - row.lo)))
        else:
            unnamed.append((row.branch, row.lo))
            size += len(row.data)
    kept = _blobs(connection, t, named)
    stored = connection.execute(select(blobs.c.hash, func.length(blobs.c.data)).where(*is_row(blobs, t))).all()
    gone = {bytes(key): length for key, length in stored if bytes(key) not in kept}
    return unnamed, [*gone], size + sum(gone.values())


def _blobs(connection: Connection, t: int, tokens: Set[Token]) -> set[bytes]:
    """Return the digests of the blobs that tokens name, with those of parts."""
    keys = {token[1:] for token in tokens}
    lists = {token[1:] for token in tokens if has_parts(token)}
    parts = [part_keys(bytes(row.data)) for row in blobs_at.rows(connection, lists, {"namespace_id": t})]
    return {*keys, *(part for some in parts for part in some)}
