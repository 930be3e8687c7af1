"""The statements of the hot path, compiled once for each kind of database and run without SQLAlchemy's own work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    Insert,
    Select,
    Table,
    bindparam,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.expression import Executable

from guardgraph.storage.sql.statements import insert_new, insert_or_replace
from guardgraph.storage.sql.tables import blobs, checkpoints, chunks, namespaces, writes

__all__ = ("Prepared", "add_blob", "add_chunk", "add_write", "move_head", "set_checkpoint")


_ZERO, _ONE = literal_column("0"), literal_column("1")  # which are no parameters


class _Compiled(NamedTuple):
    text: str
    names: tuple[str, ...] | None
    """The parameters in order, where the driver takes them so."""


class Prepared:
    """One statement; `Prepared(build)(connection, **values)` runs it and returns how many rows it has changed."""

    def __init__(self, build: Callable[[Dialect], Executable]) -> None:
        self._build = build
        self._compiled: dict[tuple[str, str], _Compiled] = {}

    def __call__(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement with these values; others are ignored."""
        dialect = connection.dialect
        found = self._compiled.get((dialect.name, dialect.driver)) or self._compile(dialect)
        given = dict(values) if found.names is None else tuple([values[name] for name in found.names])
        result = connection.exec_driver_sql(found.text, given, execution_options={"preserve_rowcount": True})
        return result.rowcount

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled: Any = self._build(dialect).compile(dialect=dialect)  # type: ignore[attr-defined]
        names = tuple(compiled.positiontup) if compiled.positional else None
        found = self._compiled[dialect.name, dialect.driver] = _Compiled(str(compiled), names)
        return found


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
    end = select(table.c.hi).where(*of_branch).order_by(table.c.lo.desc()).limit(_ONE).offset(_ZERO).scalar_subquery()
    return insert_new(dialect, chunks).from_select(
        names, row.where(or_(bindparam("lo") == _ZERO, end == bindparam("lo")))
    )


def _move_head(_dialect: Dialect) -> Executable:
    table = namespaces.c
    is_same = (table.namespace_id == bindparam("of_namespace"), table.generation == bindparam("of_generation"))
    older = or_(table.head.is_(None), table.head <= bindparam("head"))
    return update(namespaces).where(*is_same, older).values(head=bindparam("head"), seal=bindparam("seal"))


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
