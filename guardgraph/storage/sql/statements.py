"""Statements over the tables of the checkpointer, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Dialect,
    Insert,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.expression import Executable

from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.prepared import Prepared, PreparedIn
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, threads, writes

__all__ = (
    "Counts",
    "Query",
    "ancestors",
    "blobs_at",
    "checkpoint_at",
    "checkpoints_matching",
    "chunks_of",
    "insert_new",
    "insert_or_replace",
    "inserted",
    "namespaces_counted",
    "namespaces_like_thread",
    "namespaces_of_thread",
    "writes_at",
)

_INSERTS = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Query(NamedTuple):
    """Which checkpoints of a tenant to list; `None` means any. `filter` compares metadata by equality."""

    tenant: str
    thread_id: str | None
    namespace: str | None
    checkpoint_id: str | None
    before: str | None
    filter: Mapping[str, Any]


def insert_new(dialect: Dialect, table: Table) -> Insert:
    """Return an insert that keeps an existing row with the same key."""
    if dialect.name in _INSERTS:
        return _INSERTS[dialect.name](table).on_conflict_do_nothing()
    return insert(table).prefix_with("IGNORE")


def inserted(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Store `row`, and return whether it is new; an existing row with the same key is kept."""
    options = {"preserve_rowcount": True}  # not every driver knows the number of rows after an insert without it
    return connection.execute(insert_new(connection.dialect, table), row, execution_options=options).rowcount == 1


def insert_or_replace(dialect: Dialect, table: Table) -> Insert:
    """Return an insert that replaces an existing row with the same key."""
    names = [column.name for column in table.columns if not column.primary_key]
    if dialect.name not in _INSERTS:
        new = mysql.insert(table)
        return new.on_duplicate_key_update({name: new.inserted[name] for name in names})
    row = _INSERTS[dialect.name](table)
    keys = [*table.primary_key.columns]
    return row.on_conflict_do_update(index_elements=keys, set_={name: row.excluded[name] for name in names})


def _checkpoint(wanted: ColumnElement[Any] | None) -> Select[Any]:
    """Select a namespace by its digest, and with it a checkpoint, or else the newest; it may be missing.

    `last` is the largest id of a checkpoint there is, where none is named.
    """
    table = checkpoints.c
    there = checkpoints.alias("there").c
    of_namespace = there.namespace_id == namespaces.c.namespace_id
    last = select(func.max(there.checkpoint_id)).where(of_namespace).correlate(namespaces)
    named = last.scalar_subquery() if wanted is None else wanted
    same_id = table.checkpoint_id == (namespaces.c.head if wanted is None else wanted)
    is_wanted = and_(table.namespace_id == namespaces.c.namespace_id, same_id)
    columns = (table.checkpoint_id, table.parent_id, table.run_id, table.body, table.metadata, named.label("last"))
    found = select(namespaces, *columns).select_from(namespaces.outerjoin(checkpoints, is_wanted))
    return found.where(namespaces.c.name == bindparam("of_name"))


_newest = Prepared(lambda _: _checkpoint(None))
_named = Prepared(lambda _: _checkpoint(bindparam("of_checkpoint", type_=checkpoints.c.checkpoint_id.type)))


def checkpoint_at(connection: Connection, place: Place) -> Mapping[str, Any] | None:
    """Find a namespace, and with it the checkpoint that `place` names or else the newest; it may be missing."""
    wanted = _newest if place.checkpoint_id is None else _named
    found = wanted.first(connection, {"of_name": place.name, "of_checkpoint": place.checkpoint_id})
    return None if found is None else found._asdict()


class Counts(NamedTuple):
    """How many namespaces a thread has."""

    counted: int
    """When they were made."""
    there: int
    like: int
    """Those with the columns of the one that is looked for."""


def _namespaces_counted(_dialect: Dialect) -> Executable:
    of, thread = namespaces.c, threads.c
    of_thread = and_(of.tenant == thread.tenant, of.thread_id == thread.thread_id)
    like = func.sum(case((of.checkpoint_ns == bindparam("of_namespace", type_=Text), 1), else_=0))
    found = select(thread.namespaces, func.count(of.namespace_id), like).select_from(threads)
    wanted = (thread.tenant == bindparam("of_tenant"), thread.thread_id == bindparam("of_thread"))
    return found.outerjoin(namespaces, of_thread).where(*wanted).group_by(thread.namespaces)


_counted = Prepared(_namespaces_counted)


def namespaces_counted(connection: Connection, place: Place) -> Counts | None:
    """Return how many namespaces the thread of a place has; `None` where it is unknown."""
    ids = {"of_tenant": place.tenant, "of_thread": place.thread_id, "of_namespace": place.namespace}
    row = _counted.first(connection, ids)
    return None if row is None else Counts(*row)


def checkpoints_matching(query: Query, *, after: tuple[str, int] | None, limit: int) -> Select[*tuple[Any, ...]]:
    """Select checkpoints with their namespaces, newest first; `after` is the last row of the previous page."""
    table, of = checkpoints.c, namespaces.c
    columns = (table.checkpoint_id, table.parent_id, table.run_id, table.body, table.metadata)
    found = (
        select(namespaces, *columns)
        .join(checkpoints, of.namespace_id == table.namespace_id)
        .where(of.tenant == query.tenant)
    )
    wanted = {
        of.thread_id: query.thread_id,
        of.checkpoint_ns: query.namespace,
        table.checkpoint_id: query.checkpoint_id,
    }
    found = found.where(*(column == value for column, value in wanted.items() if value is not None))
    if query.thread_id is not None and query.namespace is not None:
        found = found.where(of.name == Place(query.thread_id, query.namespace, None, query.tenant).name)
    if query.before is not None:
        found = found.where(table.checkpoint_id < query.before)
    if after is not None:
        found = found.where(tuple_(table.checkpoint_id, table.namespace_id) < after)
    return found.order_by(table.checkpoint_id.desc(), table.namespace_id.desc()).limit(limit)


def _chunks_of(branches: Sequence[BindParameter[Any]]) -> Select[Any, Any, Any, Any]:
    table = chunks.c
    of_branches = (table.namespace_id == bindparam("namespace_id"), table.branch.in_(branches))
    return select(table.branch, table.lo, table.hi, table.data).where(*of_branches).order_by(table.branch, table.lo)


chunks_of = PreparedIn(_chunks_of)
"""Find the chunks of some branches of one namespace, in order."""

blobs_at = PreparedIn(
    lambda keys: select(blobs.c.hash, blobs.c.data).where(
        blobs.c.namespace_id == bindparam("namespace_id"), blobs.c.hash.in_(keys)
    )
)
"""Find the stored values of one namespace by their digests."""

writes_at = PreparedIn(
    lambda ids: select(writes).where(
        writes.c.namespace_id == bindparam("namespace_id"), writes.c.checkpoint_id.in_(ids)
    )
)
"""Find what tasks wrote at some checkpoints of one namespace."""


def ancestors(t: int, checkpoint_id: str, *, limit: int) -> Select[Any]:
    """Select up to `limit` ancestors of a checkpoint, its parent first, in one query; the last may be missing."""
    table = checkpoints.c
    chain = (
        select(table.parent_id.label("wanted"), literal(1).label("level"))
        .where(table.namespace_id == t, table.checkpoint_id == checkpoint_id, table.parent_id.is_not(None))
        .cte("chain", recursive=True)
    )
    older = (
        select(table.parent_id, chain.c.level + 1)
        .join(chain, table.checkpoint_id == chain.c.wanted)
        .where(table.namespace_id == t, chain.c.level < limit, table.parent_id.is_not(None))
    )
    chain = chain.union_all(older)
    found = chain.outerjoin(checkpoints, and_(table.namespace_id == t, table.checkpoint_id == chain.c.wanted))
    return select(chain.c.wanted, checkpoints).select_from(found).order_by(chain.c.level)


def namespaces_like_thread(root: Place) -> Select[Any]:
    """Select the namespaces of a thread, its root also where only the digest of its name is right."""
    table = namespaces.c
    of_thread = and_(table.tenant == root.tenant, table.thread_id == root.thread_id)
    return select(namespaces).where(or_(of_thread, table.name == root.name))


def namespaces_of_thread(tenant: str, thread_id: str) -> Select[Any]:
    """Select the namespaces of a thread."""
    return select(namespaces).where(namespaces.c.tenant == tenant, namespaces.c.thread_id == thread_id)
