"""Finding damage in a thread, and going back to its last good checkpoint; each is called inside one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, delete, exists, or_, select, update

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.checkpoints.loading import Found, place_of_row, read_found, writes_of
from guardgraph.storage.sql.checkpoints.packing import damage, head_seal, unpack_writes
from guardgraph.storage.sql.checkpoints.values import Values
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import KEYS, batches, namespaces_like_thread
from guardgraph.storage.sql.tables import checkpoints, namespaces, writes

__all__ = ("find_damage", "repair_thread")


class _Checked(NamedTuple):
    """What was found in a namespace."""

    row: RowMapping
    place: Place
    good: list[str]
    """The checkpoints that are what was stored, oldest first."""
    damage: list[StorageCorrupt]
    tasks: list[tuple[str, str]]
    """The checkpoint and the task of each row of writes that is damaged."""


def find_damage(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> list[StorageCorrupt]:
    """Return all damage to a thread: the error that reading each damaged checkpoint raises, newest first."""
    found: list[StorageCorrupt] = []
    for row in _namespaces(connection, tenant, thread_id):
        found += _checked(connection, codec, row, Place(thread_id, row["checkpoint_ns"], None, tenant)).damage
    return found


def repair_thread(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> list[StorageCorrupt]:
    """Delete the damaged checkpoints that are newer than the last good one, and return all damage that was found.

    Of that one only the damaged writes are deleted, so that their tasks run again. Older damaged checkpoints stay.
    """
    found: list[StorageCorrupt] = []
    for row in _namespaces(connection, tenant, thread_id):
        checked = _checked(connection, codec, row, Place(thread_id, row["checkpoint_ns"], None, tenant))
        found += checked.damage
        if checked.damage:
            _go_back(connection, checked)
    return found


def _namespaces(connection: Connection, tenant: str, thread_id: str) -> Sequence[RowMapping]:
    """Return the namespaces of a thread; the root's also where its columns were changed."""
    root = Place(thread_id, "", None, tenant)
    return connection.execute(namespaces_like_thread(root)).mappings().all()


def _checked(connection: Connection, codec: Codec, row: RowMapping, place: Place) -> _Checked:
    ours = select(checkpoints).where(checkpoints.c.namespace_id == row["namespace_id"])
    rows = connection.execute(ours.order_by(checkpoints.c.checkpoint_id)).mappings().all()
    ids = {item["checkpoint_id"] for item in rows}
    found, faults = _found(connection, codec, row, place, rows)
    tasks = _damaged_tasks(connection, row, place, ids)
    for checkpoint_id, task_id in tasks:
        lost = damage(place, checkpoint_id, "writes", f"what task {task_id!r} wrote belongs to no checkpoint")
        faults.setdefault(checkpoint_id, [lost])
    newest_first = [error for name in sorted(faults, reverse=True) for error in faults[name]]
    return _Checked(row, place, _good(found, faults), _damaged_names(row, place, ids) + newest_first, tasks)


def _damaged_names(row: RowMapping, place: Place, ids: Collection[str]) -> list[StorageCorrupt]:
    """Return the damage to the row of a namespace itself."""
    found: list[StorageCorrupt] = []
    try:
        place_of_row({**row, "checkpoint_id": None})
    except StorageCorrupt as error:
        found.append(error)
    if bytes(row["seal"]) != head_seal(place.name, row["head"]) or (row["head"] and row["head"] not in ids):
        found.append(damage(place, row["head"], "head", "the newest checkpoint is missing"))
    return found


def _found(
    connection: Connection, codec: Codec, row: RowMapping, place: Place, rows: Sequence[RowMapping]
) -> tuple[list[Found], dict[str, list[StorageCorrupt]]]:
    """Return the checkpoints whose rows are what was stored, and the damage to each checkpoint."""
    found: list[Found] = []
    faults: dict[str, list[StorageCorrupt]] = {}
    for item in rows:
        try:
            found.append(read_found(place, {**item, "generation": row["generation"]}))
        except StorageCorrupt as error:
            faults[item["checkpoint_id"]] = [error]
    ids = {item["checkpoint_id"] for item in rows}
    for start in range(0, len(found), KEYS):
        some = found[start : start + KEYS]
        for item, (_, fault) in zip(some, writes_of(connection, Values(codec), some), strict=True):
            if item.parent_id is not None and item.parent_id not in ids:
                missing = damage(place, item.checkpoint_id, "parent_id", f"its parent {item.parent_id!r} is missing")
                faults.setdefault(item.checkpoint_id, []).append(missing)
            if fault:
                faults.setdefault(item.checkpoint_id, []).append(fault)
    return found, faults


def _good(found: Sequence[Found], faults: dict[str, list[StorageCorrupt]]) -> list[str]:
    """Return the checkpoints that can be read, if perhaps without some writes, which can be made again."""
    bad = {name for name, errors in faults.items() if any(error.column != "writes" for error in errors)}
    return [item.checkpoint_id for item in found if item.checkpoint_id not in bad]


def _damaged_tasks(
    connection: Connection, row: RowMapping, place: Place, ids: Collection[str]
) -> list[tuple[str, str]]:
    """Return checkpoint and task of each row of writes that was changed, or that lies in another namespace.

    That is one of the tenant, or none at all; a row in one of another tenant is found by that tenant.
    """
    damaged: list[tuple[str, str]] = []
    for item in connection.execute(select(writes).where(writes.c.namespace_id == row["namespace_id"])):
        try:
            unpack_writes(place, item.checkpoint_id, item.task_id, bytes(item.data))
        except StorageCorrupt:
            damaged.append((item.checkpoint_id, item.task_id))
    number = namespaces.c.namespace_id
    ours = writes.c.namespace_id.in_(select(number).where(namespaces.c.tenant == place.tenant))
    lost = ~exists(select(number).where(number == writes.c.namespace_id).correlate(writes))
    for some in batches(ids):
        of_ids = (writes.c.checkpoint_id.in_(some), writes.c.namespace_id != row["namespace_id"])
        elsewhere = select(writes).where(or_(ours, lost), *of_ids)
        for item in connection.execute(elsewhere):
            with suppress(StorageCorrupt):  # it is of a copy of the thread
                unpack_writes(place, item.checkpoint_id, item.task_id, bytes(item.data))
                damaged.append((item.checkpoint_id, item.task_id))
    return damaged


def _go_back(connection: Connection, checked: _Checked) -> None:
    """Make the newest good checkpoint the newest of all."""
    namespace_id, name = checked.row["namespace_id"], checked.place.name
    head = checked.good[-1] if checked.good else None
    table = checkpoints.c
    newer = (table.namespace_id == namespace_id, *(() if head is None else (table.checkpoint_id > head,)))
    connection.execute(delete(checkpoints).where(*newer))
    for checkpoint_id, task_id in checked.tasks:
        of_task = (writes.c.checkpoint_id == checkpoint_id, writes.c.task_id == task_id)
        connection.execute(delete(writes).where(writes.c.namespace_id == namespace_id, *of_task))
    place = checked.place
    ids = {"name": name, "tenant": place.tenant, "thread_id": place.thread_id, "checkpoint_ns": place.namespace}
    moved = {**ids, "head": head, "seal": head_seal(name, head), "generation": namespaces.c.generation + 1}
    connection.execute(update(namespaces).where(namespaces.c.namespace_id == namespace_id).values(moved))
