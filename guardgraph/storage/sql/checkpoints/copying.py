"""Copying checkpoints to a new thread, with all that they need; each is called inside one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select, update

from guardgraph.state import BadInput
from guardgraph.storage.retention import CheckpointKey
from guardgraph.storage.sql.checkpoints.inserts import add_blob, count_pending
from guardgraph.storage.sql.checkpoints.loading import Found, read_found
from guardgraph.storage.sql.checkpoints.packing import (
    Entry,
    Segment,
    Token,
    Write,
    blob_key,
    damage,
    framed,
    has_parts,
    head_seal,
    large_token,
    pack_checkpoint,
    pack_writes,
    sealed_checkpoint,
    unpack_writes,
)
from guardgraph.storage.sql.checkpoints.removal import is_row, place_of_namespace
from guardgraph.storage.sql.checkpoints.storing import FOLD, namespace_at
from guardgraph.storage.sql.checkpoints.values import Values, branch_tokens, prefix_digests
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import blobs_at, chunks_of, namespaces_of_thread
from guardgraph.storage.sql.tables import checkpoints, chunks, namespaces, writes

__all__ = ("Copying", "copy_thread")

_KEY = 16


class _Task(NamedTuple):
    """What a task wrote at a checkpoint."""

    checkpoint_id: str
    task_id: str
    path: str
    writes: list[Write]


@dataclass(frozen=True, slots=True)
class Copying:
    """What is copied of a thread, and what is changed in the copy."""

    codec: Codec
    keys: Collection[CheckpointKey] | None = None
    """The checkpoints; `None` for all."""
    bare: CheckpointKey | None = None
    """The checkpoint of which nothing is copied that its tasks have written, so that they work again."""
    run_ids: Mapping[str, str] | None = None
    """The new ids of runs, as long as the old ones; they are replaced in every value."""

    def wants(self, namespace: str, checkpoint_id: str) -> bool:
        """Return whether a checkpoint is copied."""
        return self.keys is None or (namespace, checkpoint_id) in self.keys

    def value(self, packed: bytes) -> bytes:
        """Return a packed value as the copy has it."""
        return self.codec.with_ids(packed, self.run_ids) if self.run_ids else packed


def copy_thread(connection: Connection, tenant: str, source: str, target: str, copying: Copying) -> int:
    """Copy checkpoints with their values and writes to a new thread, and return how many; nothing of an unknown source.

    Raises:
        BadInput: the target already exists; two histories are never mixed.
        StorageCorrupt: a part of what is copied is damaged.
    """
    if connection.execute(namespaces_of_thread(tenant, target)).first():
        raise BadInput(
            f"cannot copy thread {source!r} to {target!r}: that thread exists; delete it, or choose another id"
        )
    rows = connection.execute(namespaces_of_thread(tenant, source)).all()
    return sum(_copy_namespace(connection, row, target, copying) for row in rows)


def _copy_namespace(connection: Connection, row: Row[Any], target: str, copying: Copying) -> int:
    found = _checkpoints_of(connection, row, copying)
    if not found:
        return 0
    tasks = _tasks_of(connection, row, copying)
    entries = [entry for one in found for entry in one.entries.values()]
    entries += [write.entry for task in tasks for write in task.writes]
    place = place_of_namespace(row)._replace(thread_id=target)
    copies = _Copies(connection, row, namespace_at(connection, place).namespace_id, copying)
    copies.read(entries)
    for one in found:
        connection.execute(checkpoints.insert(), copies.checkpoint(place, one))
    for task in tasks:
        connection.execute(writes.insert(), copies.task(place, task))
    head = max(one.checkpoint_id for one in found)
    moved = {"head": head, "seal": head_seal(place.name, head)}
    connection.execute(update(namespaces).where(*is_row(namespaces, copies.target)).values(moved))
    if head == row.head and row.pending:
        count_pending(connection, {"of_namespace": copies.target, "of_checkpoint": head})
    return len(found)


def _checkpoints_of(connection: Connection, row: Row[Any], copying: Copying) -> list[Found]:
    place, stored = place_of_namespace(row), select(checkpoints).where(*is_row(checkpoints, row.namespace_id))
    return [
        read_found(place, {**item, "generation": row.generation})
        for item in connection.execute(stored).mappings()
        if copying.wants(row.checkpoint_ns, item["checkpoint_id"])
    ]


def _tasks_of(connection: Connection, row: Row[Any], copying: Copying) -> list[_Task]:
    place, ns = place_of_namespace(row), row.checkpoint_ns
    return [
        _Task(
            item.checkpoint_id, item.task_id, *unpack_writes(place, item.checkpoint_id, item.task_id, bytes(item.data))
        )
        for item in connection.execute(select(writes).where(*is_row(writes, row.namespace_id)))
        if copying.wants(ns, item.checkpoint_id) and (ns, item.checkpoint_id) != copying.bare
    ]


class _Copies:
    """Where the values of a namespace are in its copy. Make it, `read`, then ask for rows."""

    def __init__(self, connection: Connection, row: Row[Any], target: int, copying: Copying) -> None:
        self._connection, self._row, self._copying = connection, row, copying
        self.target = target
        self._blobs: dict[Token, Token] = {}
        self._digests: dict[tuple[int, int], bytes] = {}

    def read(self, entries: Sequence[Entry]) -> None:
        """Copy the chunks and blobs that `entries` name."""
        branches = self._branches(segment for entry in entries if isinstance(entry, tuple) for segment in entry)
        plain = [entry for entry in entries if not isinstance(entry, tuple)]
        tokens = [token for entry in plain for token in ([entry] if isinstance(entry, bytes) else entry)]
        tokens += [token for of_branch, _ in branches.values() for token in of_branch]
        named = {token for token in tokens if blob_key(token)}
        in_parts = set(filter(has_parts, named))
        self._copy_blobs(token[1:] for token in named - in_parts)
        for token in in_parts:
            self._copy_in_parts(token)
        for branch, (of_branch, lengths) in branches.items():
            copied = [*map(self._token, of_branch)]
            self._digests |= {(branch, upto): digest for upto, digest in prefix_digests(copied, lengths).items()}
            for lo in range(0, len(copied), FOLD):
                part = copied[lo : lo + FOLD]
                row = {"branch": branch, "lo": lo, "hi": lo + len(part), "data": framed(part)}
                self._connection.execute(chunks.insert(), {"namespace_id": self.target, **row})

    def checkpoint(self, place: Place, one: Found) -> dict[str, Any]:
        """Return the row of a checkpoint in the copy."""
        entries = {channel: self._entry(entry) for channel, entry in one.entries.items()}
        run_id = None if one.run_id is None else (self._copying.run_ids or {}).get(one.run_id, one.run_id)
        ids = {"checkpoint_id": one.checkpoint_id, "parent_id": one.parent_id, "run_id": run_id}
        body = pack_checkpoint(place.namespace, one.core, entries, one.tasks)
        packed = {"body": body, "metadata": self._copying.value(one.metadata)}
        return sealed_checkpoint(place.name, {"namespace_id": self.target, **ids, **packed})

    def task(self, place: Place, task: _Task) -> dict[str, Any]:
        """Return the row of a task's writes in the copy."""
        items = [write._replace(entry=self._entry(write.entry)) for write in task.writes]
        data = pack_writes(place.name, task.checkpoint_id, task.task_id, task.path, items)
        ids = {"checkpoint_id": task.checkpoint_id, "task_id": task.task_id}
        return {"namespace_id": self.target, **ids, "data": data}

    def _branches(self, segments: Iterable[Segment]) -> dict[int, tuple[list[Token], set[int]]]:
        """Return the tokens of each branch as far as they are needed, and the lengths of its beginnings."""
        digests = {(one.branch, one.upto): one.digest for one in segments}
        lengths: dict[int, set[int]] = {}
        for branch, upto in digests:
            lengths.setdefault(branch, set()).add(upto)
        found: dict[int, tuple[list[Token], set[int]]] = {}
        rows: dict[int, list[tuple[int, int, bytes]]] = {branch: [] for branch in lengths}
        for row in chunks_of.rows(self._connection, lengths, {"namespace_id": self._row.namespace_id}):
            rows[row.branch].append((row.lo, row.hi, bytes(row.data)))
        for branch, of_branch in rows.items():
            tokens = branch_tokens(of_branch)
            is_stored = prefix_digests(tokens, lengths[branch])
            if any(is_stored.get(upto) != digests[branch, upto] for upto in lengths[branch]):
                raise damage(place_of_namespace(self._row), None, "list", "a list is not what was stored")
            found[branch] = (tokens[: max(lengths[branch])], lengths[branch])
        return found

    def _copy_blobs(self, keys: Iterable[bytes]) -> None:
        missing = set(keys)
        for row in blobs_at.rows(self._connection, missing, {"namespace_id": self._row.namespace_id}):
            key, data = bytes(row.hash), bytes(row.data)
            if blake2b(data, digest_size=_KEY).digest() == key:
                missing.discard(key)
                self._store(b"\1" + key, data)
        if missing:
            raise damage(place_of_namespace(self._row), None, "value", "a value is missing, or was changed")

    def _copy_in_parts(self, token: Token) -> None:
        values = Values(self._copying.codec)
        values.read(self._connection, self._row.namespace_id, [token])
        self._store(token, values.packed(place_of_namespace(self._row), None, "value", token))

    def _store(self, token: Token, data: bytes) -> None:
        new: dict[bytes, bytes] = {}
        self._blobs[token] = large_token(self._copying.value(data), new)
        for key, part in new.items():
            add_blob(self._connection, {"namespace_id": self.target, "hash": key, "data": part})

    def _token(self, token: Token) -> Token:
        return self._blobs[token] if blob_key(token) else b"\0" + self._copying.value(token[1:])

    def _entry(self, entry: Entry) -> Entry:
        if isinstance(entry, tuple):
            return tuple(one._replace(digest=self._digests[one.branch, one.upto]) for one in entry)
        return self._token(entry) if isinstance(entry, bytes) else [*map(self._token, entry)]
