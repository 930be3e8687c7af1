"""Deleting and pruning the checkpoints of threads of one tenant; each is called inside one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from guardgraph.storage.retention import CheckpointKey, StoredCheckpoint, with_ancestors
from guardgraph.storage.sql.checkpoints.loading import read_found
from guardgraph.storage.sql.checkpoints.removal import Removal, is_row, place_of_namespace, removal_of, remove, whole
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.prepared import batches
from guardgraph.storage.sql.statements import namespaces_of_thread
from guardgraph.storage.sql.tables import checkpoints, namespaces
from guardgraph.storage.sql.thread_rows import delete_rows, idle

__all__ = (
    "DELTA_COUNTERS",
    "Expendable",
    "delete_runs",
    "delete_thread",
    "latest_only",
    "removals_of",
    "stored_checkpoints",
    "whole_thread",
)

Expendable = Callable[[Mapping[CheckpointKey, StoredCheckpoint]], Collection[CheckpointKey]]
"""Decides which checkpoints of a thread go."""

DELTA_COUNTERS = "counters_since_delta_snapshot"
"""The key in the metadata of a checkpoint: its delta channels, most of which it does not hold itself."""


def latest_only(found: Mapping[CheckpointKey, StoredCheckpoint]) -> Collection[CheckpointKey]:
    """Return all checkpoints but the newest of each namespace, and those from which its channels are rebuilt."""
    newest: dict[str, str] = {}
    for namespace, checkpoint_id in found:
        newest[namespace] = max(checkpoint_id, newest.get(namespace, ""))
    return found.keys() - with_ancestors(newest.items(), found)


def stored_checkpoints(
    connection: Connection, codec: Codec, rows: Sequence[Row[Any]]
) -> dict[CheckpointKey, StoredCheckpoint]:
    """Return what is known of the checkpoints of some namespaces, without their values.

    Raises:
        StorageCorrupt: one is damaged.
        WrongKey: they were encrypted with another key.
    """
    codec, found = codec.reading_plain(lambda _: None), list[StoredCheckpoint]()
    for row in rows:
        place = place_of_namespace(row)
        for item in connection.execute(select(checkpoints).where(*is_row(checkpoints, row.namespace_id))).mappings():
            one = read_found(place, {**item, "generation": row.generation})
            facts: dict[str, Any] = codec.loads(one.metadata)
            deltas: Mapping[str, Any] = facts.get(DELTA_COUNTERS) or {}
            found.append(
                StoredCheckpoint(
                    namespace=row.checkpoint_ns,
                    checkpoint_id=one.checkpoint_id,
                    parent_id=one.parent_id,
                    created=datetime.fromisoformat(codec.loads(one.core)["ts"]),
                    run_id=one.run_id,
                    parents=facts.get("parents") or {},
                    stored=frozenset(one.entries),
                    rebuilt=frozenset(deltas.keys() - one.entries.keys()),
                )
            )
    return {one.key: one for one in found}


def whole_thread(connection: Connection, tenant: str, thread_id: str) -> list[Removal]:
    """Return the removal of all that is stored of a thread's checkpoints, also where they are damaged."""
    return [whole(connection, row) for row in connection.execute(namespaces_of_thread(tenant, thread_id)).all()]


def delete_thread(connection: Connection, tenant: str, thread_id: str) -> list[Removal]:
    """Delete all that is stored of a thread, also where it is damaged; an unknown one is no error.

    Raises:
        ThreadBusy: somebody works on it.
    """
    with idle(connection, tenant, thread_id):
        removals = whole_thread(connection, tenant, thread_id)
        for removal in removals:
            remove(connection, removal)
        delete_rows(connection, tenant, thread_id, with_effects=False)
        return removals


def removals_of(
    connection: Connection, codec: Codec, tenant: str, thread_id: str, expendable: Expendable
) -> tuple[list[Removal], int]:
    """Return what goes of a thread, and how many checkpoints it has; `remove` has the effect."""
    rows = connection.execute(namespaces_of_thread(tenant, thread_id)).all()
    found = stored_checkpoints(connection, codec, rows)
    gone: dict[str, list[str]] = {}
    for namespace, checkpoint_id in expendable(found):
        gone.setdefault(namespace, []).append(checkpoint_id)
    touched = [row for row in rows if row.checkpoint_ns in gone]
    return [removal_of(connection, row, gone[row.checkpoint_ns]) for row in touched], len(found)


def delete_runs(connection: Connection, tenant: str, run_ids: Sequence[str]) -> list[bytes]:
    """Delete the checkpoints of some runs with their writes, and the values that nothing else needs.

    A thread that goes on after a deleted run loses what that run has written to its delta channels since the last
    snapshot. Returns the namespaces that were changed.
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
        remove(connection, removal_of(connection, row, ids[t]))
    return [bytes(row.name) for row in touched.values()]
