"""Statements over the tables of the checkpointer, as pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Select, Table, insert, literal, select, tuple_
from sqlalchemy.dialects import mysql, postgresql, sqlite

from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.tables import checkpoints, lines, values, writes

__all__ = (
    "CHUNK",
    "Query",
    "ancestors",
    "checkpoint_at",
    "checkpoints_matching",
    "chunks",
    "insert_new",
    "insert_or_replace",
    "inserted",
    "lines_of",
    "values_at",
    "writes_at",
)

CHUNK = 400
"""How many keys one statement names at most; every database takes a few hundred parameters."""

_INSERTS = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Query(NamedTuple):
    """Which checkpoints to list; `None` means any. `filter` compares metadata by equality."""

    thread_id: str | None
    namespace: str | None
    checkpoint_id: str | None
    before: str | None
    filter: Mapping[str, Any]


def chunks(keys: Iterable[Any], size: int = CHUNK) -> Iterable[list[Any]]:
    """Cut keys into lists that fit one statement."""
    items = list(keys)
    return (items[start : start + size] for start in range(0, len(items), size))


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


def checkpoint_at(place: Place) -> Select[Any]:
    """Select the checkpoint that `place` names, or the newest of its line."""
    found = select(checkpoints).where(checkpoints.c.line == place.line)
    if place.checkpoint_id is not None:
        return found.where(checkpoints.c.checkpoint_id == place.checkpoint_id)
    return found.order_by(checkpoints.c.checkpoint_id.desc()).limit(1)


def checkpoints_matching(query: Query, *, after: tuple[str, bytes] | None, limit: int) -> Select[*tuple[Any, ...]]:
    """Select checkpoints, newest first; `after` is the last row of the previous page."""
    table = checkpoints.c
    found = select(lines.c.thread_id, lines.c.checkpoint_ns, checkpoints).join(lines, lines.c.line == table.line)
    wanted = {
        lines.c.thread_id: query.thread_id,
        lines.c.checkpoint_ns: query.namespace,
        table.checkpoint_id: query.checkpoint_id,
    }
    found = found.where(*(column == value for column, value in wanted.items() if value is not None))
    if query.before is not None:
        found = found.where(table.checkpoint_id < query.before)
    if after is not None:
        found = found.where(tuple_(table.checkpoint_id, table.line) < after)
    return found.order_by(table.checkpoint_id.desc(), table.line.desc()).limit(limit)


def values_at(line: bytes, keys: Sequence[bytes]) -> Select[Any, Any]:
    """Select the stored values of one line by their keys."""
    return select(values.c.value, values.c.data).where(values.c.line == line, values.c.value.in_(keys))


def writes_at(line: bytes, ids: Sequence[str], channels: Collection[str] | None = None) -> Select[Any]:
    """Select the writes of some checkpoints of one line, of all channels or of those that are named."""
    found = select(writes).where(writes.c.line == line, writes.c.checkpoint_id.in_(ids))
    if channels is None:
        return found
    return found.where(writes.c.channel.in_([channel.encode("utf-8", "surrogatepass") for channel in channels]))


def ancestors(line: bytes, checkpoint_id: str, *, limit: int) -> Select[Any, Any]:
    """Select up to `limit` ancestors of a checkpoint, its parent first, in one query."""
    table = checkpoints.c
    chain = (
        select(table.parent_id.label("checkpoint_id"), literal(1).label("level"))
        .where(table.line == line, table.checkpoint_id == checkpoint_id)
        .cte("chain", recursive=True)
    )
    older = (
        select(table.parent_id, chain.c.level + 1)
        .join(chain, table.checkpoint_id == chain.c.checkpoint_id)
        .where(table.line == line, chain.c.level < limit)
    )
    chain = chain.union_all(older)
    return (
        select(table.checkpoint_id, table.body)
        .join(chain, table.checkpoint_id == chain.c.checkpoint_id)
        .where(table.line == line)
        .order_by(chain.c.level)
    )


def lines_of(thread_id: str) -> Select[Any]:
    """Select the lines of a thread."""
    return select(lines).where(lines.c.thread_id == thread_id)
