"""The statements that store checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Dialect,
    Insert,
    Select,
    Table,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.expression import Executable

from guardgraph.storage.sql.prepared import Prepared
from guardgraph.storage.sql.statements import insert_new, insert_or_replace
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, threads, writes

__all__ = (
    "add_blob",
    "add_chunk",
    "add_namespace",
    "add_write",
    "count_namespace",
    "count_pending",
    "move_head",
    "namespace_named",
    "set_checkpoint",
)

_OF_THREAD = [threads.c.tenant, threads.c.thread_id]


def _values_from_namespace(table: Table) -> tuple[Sequence[str], Select[Any]]:
    """Return the columns of a row and a select that gives it only while its namespace is what it was."""
    names = [column.name for column in table.columns]
    row = select(*(bindparam(name, type_=table.c[name].type) for name in names)).select_from(namespaces)
    is_same = (
        namespaces.c.namespace_id == bindparam("namespace_id", type_=BigInteger),
        namespaces.c.generation == bindparam("generation"),
    )
    return names, row.where(*is_same)


def _add_write(dialect: Dialect) -> Insert:
    return insert_new(dialect, writes).from_select(*_values_from_namespace(writes))


def _add_chunk(dialect: Dialect) -> Insert:
    """Append to a branch only where it ends: at the largest `hi`, which the row with the largest `lo` has."""
    names, row = _values_from_namespace(chunks)
    table = chunks.alias("earlier")
    of_branch = (table.c.namespace_id == bindparam("namespace_id"), table.c.branch == bindparam("branch"))
    end = select(table.c.hi).where(*of_branch).order_by(table.c.lo.desc()).limit(1).scalar_subquery()
    return insert_new(dialect, chunks).from_select(names, row.where(or_(bindparam("lo") == 0, end == bindparam("lo"))))


def _move_head(_dialect: Dialect) -> Executable:
    table = namespaces.c
    is_same = (table.namespace_id == bindparam("of_namespace"), table.generation == bindparam("of_generation"))
    older = or_(table.head.is_(None), table.head <= bindparam("head"))
    return update(namespaces).where(*is_same, older).values(head=bindparam("head"), seal=bindparam("seal"), pending=0)


def _count_pending(_dialect: Dialect) -> Executable:
    table, head = namespaces.c, bindparam("of_checkpoint", type_=namespaces.c.head.type)
    number = bindparam("of_namespace", type_=BigInteger)
    of_head = (writes.c.namespace_id == number, writes.c.checkpoint_id == head)
    count = select(func.count()).select_from(writes).where(*of_head).scalar_subquery()
    return update(namespaces).where(table.namespace_id == number, table.head == head).values(pending=count)


def _add_namespace(dialect: Dialect) -> Insert:
    names = ("name", "tenant", "thread_id", "checkpoint_ns", "head", "seal")
    return insert_new(dialect, namespaces).values(generation=0, pending=0, **{name: bindparam(name) for name in names})


def _count_namespace(dialect: Dialect) -> Insert:
    row = {"tenant": bindparam("tenant"), "thread_id": bindparam("thread_id"), "namespaces": 1}
    more = {"namespaces": threads.c.namespaces + 1}
    if dialect.name == "postgresql":
        return postgresql.insert(threads).values(row).on_conflict_do_update(index_elements=_OF_THREAD, set_=more)
    if dialect.name == "sqlite":
        return sqlite.insert(threads).values(row).on_conflict_do_update(index_elements=_OF_THREAD, set_=more)
    return mysql.insert(threads).values(row).on_duplicate_key_update(more)


def _namespace_named(_dialect: Dialect) -> Executable:
    return select(namespaces.c.namespace_id, namespaces.c.generation).where(namespaces.c.name == bindparam("of_name"))


namespace_named = Prepared(_namespace_named)
"""Find the number and the generation of a namespace by the digest of its name."""

add_namespace = Prepared(_add_namespace)
"""Store a namespace of generation 0; one that is there is kept."""

count_namespace = Prepared(_count_namespace)
"""Count one more namespace of a thread."""

count_pending = Prepared(_count_pending)
"""Count the tasks that have written at a checkpoint, if it is the newest."""

add_blob = Prepared(lambda dialect: insert_new(dialect, blobs))
"""Store a blob; one that is there is kept."""

add_chunk = Prepared(_add_chunk)
"""Append a chunk to its branch; 0 where the branch goes on already."""

add_write = Prepared(_add_write)
"""Store what a task wrote; 0 where it wrote before, or the namespace has changed."""

set_checkpoint = Prepared(lambda dialect: insert_or_replace(dialect, checkpoints))
"""Store a checkpoint; one of the same id is replaced."""

move_head = Prepared(_move_head)
"""Make a checkpoint the newest; 0 where a newer one is there, or the namespace has changed."""
