"""Finding the namespaces of a thread, also where the rows of some are missing, or name another thread.

A checkpoint names its namespace, and its seal fits one thread alone. So checkpoints show whose their number is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, and_, exists, or_, select

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.checkpoints.loading import read_found
from guardgraph.storage.sql.checkpoints.packing import packed_namespace
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import namespaces_like_thread
from guardgraph.storage.sql.tables import checkpoints, namespaces, threads

__all__ = ("Located", "located_namespaces", "number_of", "ours_or_lost")

_LOOKED_AT = 3
"""How many checkpoints under a number are looked at to find whose it is."""


class Located(NamedTuple):
    """A namespace of a thread."""

    row: Mapping[Any, Any]
    """Its row; where that is missing, one with its number."""
    place: Place | None
    """Where it belongs; `None` where the row names this thread, and is of another one."""


def located_namespaces(connection: Connection, root: Place) -> tuple[list[Located], int | None]:
    """Return the namespaces of a thread, and how many of them were counted when they were made."""
    rows = connection.execute(namespaces_like_thread(root)).mappings().all()
    found = [Located(row, _place_of(connection, root, row)) for row in rows]
    names = {one.place.name for one in found if one.place}
    of_thread = (threads.c.tenant == root.tenant, threads.c.thread_id == root.thread_id)
    counted = connection.execute(select(threads.c.namespaces).where(*of_thread)).scalar_one_or_none()
    if counted != len(names):
        found += _lost(connection, root, names)
    return found, counted


def number_of(connection: Connection, place: Place, guess: int) -> int | None:
    """Return the number under which the checkpoints of a namespace are stored; those of other tenants are left out."""
    table = checkpoints.c
    numbers = select(table.namespace_id).where(ours_or_lost(table.namespace_id, place.tenant)).distinct()
    candidates = [guess, *connection.execute(numbers).scalars()]
    return next((number for number in candidates if place in _places(connection, place, number)), None)


def _place_of(connection: Connection, root: Place, row: Mapping[Any, Any]) -> Place | None:
    """Return the place of a row that names a thread, or has the name of its root."""
    named = root._replace(namespace=row["checkpoint_ns"])
    for place in (named, root):
        if place.name == bytes(row["name"]):
            return place
    return _owner(connection, root, row["namespace_id"], otherwise=named)


def _owner(connection: Connection, root: Place, number: int, *, otherwise: Place | None) -> Place | None:
    """Return the namespace of a thread whose checkpoints have a number; `otherwise` where there are none."""
    there = select(checkpoints.c.checkpoint_id).where(checkpoints.c.namespace_id == number).limit(1)
    if connection.execute(there).first() is None:
        return otherwise
    return next(_places(connection, root, number), None)


def _places(connection: Connection, root: Place, number: int) -> Iterator[Place]:
    """Yield the namespaces of a thread that the newest checkpoints under a number are sealed for."""
    newest = (
        select(checkpoints).where(checkpoints.c.namespace_id == number).order_by(checkpoints.c.checkpoint_id.desc())
    )
    for row in connection.execute(newest.limit(_LOOKED_AT)).mappings().all():
        with suppress(StorageCorrupt, ValueError):
            place = root._replace(namespace=packed_namespace(bytes(row["body"])))
            read_found(place, {**row, "generation": 0})
            yield place


def _lost(connection: Connection, root: Place, names: Collection[bytes]) -> Iterator[Located]:
    """Yield the namespaces of a thread that no row names."""
    seen = set(names)
    for number, row in _candidates(connection, root.tenant):
        fits = row is not None and root._replace(namespace=row["checkpoint_ns"]).name == bytes(row["name"])
        here = root._replace(namespace=row["checkpoint_ns"]) if row is not None and fits else None
        place = _owner(connection, root, number, otherwise=here)
        if place is not None and place.name not in seen:
            seen.add(place.name)
            yield Located(row or _missing(number, place), place)


def _candidates(connection: Connection, tenant: str) -> Iterator[tuple[int, Mapping[Any, Any] | None]]:
    """Yield the numbers whose row is missing, or is not what was stored: of a tenant, or of no thread there is."""
    table = namespaces.c
    has_thread = exists(select(threads.c.thread_id).where(*_is_thread_of(threads)).correlate(namespaces))
    for row in connection.execute(select(namespaces).where(or_(table.tenant == tenant, ~has_thread))).mappings().all():
        if Place(row["thread_id"], row["checkpoint_ns"], None, row["tenant"]).name != bytes(row["name"]):
            yield row["namespace_id"], row
    number = checkpoints.c.namespace_id
    for found in connection.execute(select(number).where(_lost_number(number)).distinct()).scalars().all():
        yield found, None


def _is_thread_of(table: Any) -> tuple[ColumnElement[bool]]:
    return (and_(table.c.tenant == namespaces.c.tenant, table.c.thread_id == namespaces.c.thread_id),)


def _lost_number(namespace_id: Column[int]) -> ColumnElement[bool]:
    """Return the condition that no row has a number."""
    number = namespaces.c.namespace_id
    return ~exists(select(number).where(number == namespace_id).correlate(namespace_id.table))


def ours_or_lost(namespace_id: Column[int], tenant: str) -> ColumnElement[bool]:
    """Return the condition that the number of a namespace is of a tenant, or of none at all."""
    ours = namespace_id.in_(select(namespaces.c.namespace_id).where(namespaces.c.tenant == tenant))
    return or_(ours, _lost_number(namespace_id))


def _missing(number: int, place: Place) -> Mapping[Any, Any]:
    ids = {"tenant": place.tenant, "thread_id": place.thread_id, "checkpoint_ns": place.namespace}
    return {"namespace_id": number, "name": b"", **ids, "generation": 0, "head": None, "seal": b"", "pending": 0}
