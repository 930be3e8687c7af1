"""Finding damage in a thread, and going back to its last good checkpoint; each is called inside one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select, update

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.checkpoints.inserts import count_pending
from guardgraph.storage.sql.checkpoints.loading import (
    Found,
    TaskWrites,
    lost_writes,
    read_found,
    writes_of,
)
from guardgraph.storage.sql.checkpoints.located import Located, located_namespaces, number_of, ours_or_lost
from guardgraph.storage.sql.checkpoints.packing import (
    damage,
    head_seal,
    pack_checkpoint,
    sealed_checkpoint,
    task_mark,
    unpack_writes,
)
from guardgraph.storage.sql.checkpoints.retention import DELTA_COUNTERS
from guardgraph.storage.sql.checkpoints.values import Values
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.prepared import KEYS, batches
from guardgraph.storage.sql.statements import namespaces_of_thread
from guardgraph.storage.sql.tables import checkpoints, namespaces, threads, writes

__all__ = ("find_damage", "repair_thread")


class _Checked(NamedTuple):
    """What was found in a namespace."""

    row: Mapping[Any, Any]
    place: Place
    good: list[str]
    """The checkpoints that are what was stored, oldest first."""
    damage: list[StorageCorrupt]
    tasks: list[tuple[str, str]]
    """The checkpoint and the task of each row of writes that is damaged."""


def find_damage(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> list[StorageCorrupt]:
    """Return all damage to a thread: the error that reading each damaged checkpoint raises, newest first."""
    root = Place(thread_id, "", None, tenant)
    located, counted = located_namespaces(connection, root)
    found = [error for one in located if one.place for error in _checked(connection, codec, one.row, one.place).damage]
    return found + _thread_damage(root, located, counted)


def repair_thread(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> list[StorageCorrupt]:
    """Delete the damaged checkpoints that are newer than the last good one, and return all damage that was found.

    Of that one only the damaged writes are deleted, so that their tasks run again. Older damaged checkpoints stay.
    """
    root = Place(thread_id, "", None, tenant)
    located, counted = located_namespaces(connection, root)
    found: list[StorageCorrupt] = []
    for row, place in located:
        if place is None:
            continue
        checked = _checked(connection, codec, row, place)
        found += checked.damage
        if checked.damage and not checked.good:
            home = _at_home(connection, row, place)
            checked = _checked(connection, codec, home, place) if home is not row else checked
        if checked.damage:
            _go_back(connection, checked)
    of_thread = _thread_damage(root, located, counted)
    if of_thread:
        _count_again(connection, root)
    return found + of_thread


def _thread_damage(root: Place, located: Sequence[Located], counted: int | None) -> list[StorageCorrupt]:
    """Return the damage to the row of a thread, and to rows that name it and are of another one."""
    ours = sum(one.place is not None for one in located)
    found = [
        damage(root._replace(namespace=one.row["checkpoint_ns"]), None, "name", "its namespace is of another thread")
        for one in located
        if one.place is None
    ]
    if counted != ours and (ours or counted is not None):
        reason = f"it has {ours} namespaces, and {counted if counted is not None else 'none'} were counted"
        found.append(damage(root, None, "namespaces", reason))
    return found


def _count_again(connection: Connection, root: Place) -> None:
    """Make the row of a thread anew."""
    connection.execute(delete(threads).where(threads.c.tenant == root.tenant, threads.c.thread_id == root.thread_id))
    rows = connection.execute(namespaces_of_thread(root.tenant, root.thread_id)).all()
    count = sum(root._replace(namespace=row.checkpoint_ns).name == bytes(row.name) for row in rows)
    if count:
        row = {"tenant": root.tenant, "thread_id": root.thread_id, "namespaces": count}
        connection.execute(threads.insert(), row)


def _at_home(connection: Connection, row: Mapping[Any, Any], place: Place) -> Mapping[Any, Any]:
    """Return the row of a namespace with the number of its checkpoints, which it gets."""
    table, home = namespaces.c, number_of(connection, place, row["namespace_id"])
    if home is None or home == row["namespace_id"]:
        return row
    connection.execute(update(namespaces).where(table.namespace_id == home).values(namespace_id=-home))  # another's
    connection.execute(update(namespaces).where(table.name == bytes(row["name"])).values(namespace_id=home))
    return {**row, "namespace_id": home}


def _checked(connection: Connection, codec: Codec, row: Mapping[Any, Any], place: Place) -> _Checked:
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


def _damaged_names(row: Mapping[Any, Any], place: Place, ids: Collection[str]) -> list[StorageCorrupt]:
    """Return the damage to the row of a namespace itself."""
    found: list[StorageCorrupt] = []
    columns = (row["tenant"], row["thread_id"], row["checkpoint_ns"], bytes(row["name"]))
    if columns != (place.tenant, place.thread_id, place.namespace, place.name):
        found.append(damage(place, row["head"], "name", "its namespace is not what was stored"))
    if bytes(row["seal"]) != head_seal(place.name, row["head"]) or row["head"] != max(ids, default=None):
        reason = "the newest checkpoint is missing, or another one"
        found.append(damage(place, max(ids, default=row["head"]), "head", reason))
    return found


def _found(
    connection: Connection, codec: Codec, row: Mapping[Any, Any], place: Place, rows: Sequence[Mapping[Any, Any]]
) -> tuple[list[Found], dict[str, list[StorageCorrupt]]]:
    """Return the checkpoints whose rows are what was stored, and the damage to each checkpoint."""
    found: list[Found] = []
    faults: dict[str, list[StorageCorrupt]] = {}
    of_row = {name: row[name] for name in ("generation", "head", "pending")}
    for item in rows:
        try:
            found.append(read_found(place, {**item, **of_row}))
        except StorageCorrupt as error:
            faults[item["checkpoint_id"]] = [error]
    ids = {item["checkpoint_id"] for item in rows}
    tasks_at: dict[str, list[TaskWrites]] = {}
    for start in range(0, len(found), KEYS):
        some = found[start : start + KEYS]
        for item, (tasks, fault) in zip(some, writes_of(connection, Values(codec), some), strict=True):
            tasks_at[item.checkpoint_id] = [task._replace(writes=[]) for task in tasks]
            if item.parent_id is not None and item.parent_id not in ids:
                missing = damage(place, item.checkpoint_id, "parent_id", f"its parent {item.parent_id!r} is missing")
                faults.setdefault(item.checkpoint_id, []).append(missing)
            if fault:
                faults.setdefault(item.checkpoint_id, []).append(fault)
    for item in found:
        if item.parent_id in tasks_at and (lost := lost_writes(item, tasks_at[item.parent_id])):
            faults.setdefault(item.parent_id, [lost])
    _add_unbuilt(codec, found, faults)
    return found, faults


def _add_unbuilt(codec: Codec, found: Sequence[Found], faults: dict[str, list[StorageCorrupt]]) -> None:
    """Add the checkpoints with delta channels that are rebuilt from what is damaged."""
    for item in found if faults else ():  # parents come before their children
        unstored = codec.loads(item.metadata).get(DELTA_COUNTERS, {}).keys() - item.entries.keys()
        if unstored and item.parent_id in faults:
            reason = f"it is rebuilt from checkpoint {item.parent_id!r}, which is damaged"
            unbuilt = damage(item.place, item.checkpoint_id, min(unstored), reason)
            faults.setdefault(item.checkpoint_id, []).append(unbuilt)


def _good(found: Sequence[Found], faults: dict[str, list[StorageCorrupt]]) -> list[str]:
    """Return the checkpoints that can be read, if perhaps without some writes, which can be made again."""
    bad = {name for name, errors in faults.items() if any(error.column != "writes" for error in errors)}
    return [item.checkpoint_id for item in found if item.checkpoint_id not in bad]


def _damaged_tasks(
    connection: Connection, row: Mapping[Any, Any], place: Place, ids: Collection[str]
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
    for some in batches(ids):
        of_ids = (writes.c.checkpoint_id.in_(some), writes.c.namespace_id != row["namespace_id"])
        elsewhere = select(writes).where(ours_or_lost(writes.c.namespace_id, place.tenant), *of_ids)
        for item in connection.execute(elsewhere):
            with suppress(StorageCorrupt):  # it is of a copy of the thread
                unpack_writes(place, item.checkpoint_id, item.task_id, bytes(item.data))
                damaged.append((item.checkpoint_id, item.task_id))
    return damaged


def _go_back(connection: Connection, checked: _Checked) -> None:
    """Make the newest good checkpoint the newest of all."""
    namespace_id, name = checked.row["namespace_id"], checked.place.name
    same = select(namespaces.c.namespace_id).where(namespaces.c.name == name, namespaces.c.namespace_id != namespace_id)
    if connection.execute(same).first() is not None:
        return  # it is the row of another thread, whose columns were changed
    head = checked.good[-1] if checked.good else None
    table = checkpoints.c
    newer = (table.namespace_id == namespace_id, *(() if head is None else (table.checkpoint_id > head,)))
    connection.execute(delete(checkpoints).where(*newer))
    for checkpoint_id, task_id in checked.tasks:
        of_task = (writes.c.checkpoint_id == checkpoint_id, writes.c.task_id == task_id)
        connection.execute(delete(writes).where(writes.c.namespace_id == namespace_id, *of_task))
    if any(error.column == "writes" for error in checked.damage):
        _forget_lost_writes(connection, namespace_id, checked.place, checked.good)
    place = checked.place
    ids = {"name": name, "tenant": place.tenant, "thread_id": place.thread_id, "checkpoint_ns": place.namespace}
    moved = {**ids, "head": head, "seal": head_seal(name, head), "pending": 0}
    later = {**moved, "generation": namespaces.c.generation + 1}
    if not connection.execute(
        update(namespaces).where(namespaces.c.namespace_id == namespace_id).values(later)
    ).rowcount:
        connection.execute(namespaces.insert(), {**moved, "namespace_id": namespace_id, "generation": 1})
    count_pending(connection, {"of_namespace": namespace_id, "of_checkpoint": head})


def _forget_lost_writes(connection: Connection, namespace_id: int, place: Place, good: Collection[str]) -> None:
    """Let no good checkpoint name writes at its parent that are gone."""
    there: dict[str, set[bytes]] = {}
    at = writes.c
    for row in connection.execute(select(at.checkpoint_id, at.task_id).where(at.namespace_id == namespace_id)):
        there.setdefault(row.checkpoint_id, set()).add(task_mark(row.task_id))
    table = checkpoints.c
    for row in connection.execute(select(checkpoints).where(table.namespace_id == namespace_id)).mappings().all():
        if row["checkpoint_id"] not in good:
            continue
        found = read_found(place, {**row, "generation": 0})
        left = found.tasks & there.get(found.parent_id or "", set())
        if left != found.tasks:
            sealed = sealed_checkpoint(
                place.name, {**row, "body": pack_checkpoint(place.namespace, found.core, found.entries, left)}
            )
            is_it = (table.namespace_id == namespace_id, table.checkpoint_id == row["checkpoint_id"])
            connection.execute(update(checkpoints).where(*is_it).values(body=sealed["body"]))
