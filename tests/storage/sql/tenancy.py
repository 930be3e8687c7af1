"""Finds statements that name no tenant, in what guardgraph executes while the tests run."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import (
    Alias,
    BinaryExpression,
    BooleanClauseList,
    ColumnElement,
    Delete,
    Engine,
    Exists,
    FromClause,
    Grouping,
    Join,
    Select,
    Table,
    UnaryExpression,
    Update,
    event,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators, visitors

from guardgraph.storage.sql import leases as leases_module
from guardgraph.storage.sql.board_table import boards
from guardgraph.storage.sql.effect_table import effects
from guardgraph.storage.sql.event_table import events
from guardgraph.storage.sql.published_table import published, published_read
from guardgraph.storage.sql.reputation_table import awards
from guardgraph.storage.sql.shared_account_table import operator_caps, shared_accounts, shared_entries
from guardgraph.storage.sql.tables import (
    accounts,
    blobs,
    checkpoints,
    chunks,
    entries,
    leases,
    namespaces,
    runs,
    threads,
    writes,
)
from guardgraph.storage.sql.value_table import shared_values

__all__ = ("KEYS", "check_every_statement", "tables_of_any_tenant")

KEYS: dict[Table, frozenset[str]] = {
    namespaces: frozenset({"tenant", "name", "namespace_id"}),
    **dict.fromkeys((checkpoints, chunks, blobs, writes), frozenset({"namespace_id"})),
    accounts: frozenset({"tenant", "account"}),
    entries: frozenset({"tenant", "entry", "account"}),
    effects: frozenset({"tenant", "effect"}),
    boards: frozenset({"tenant", "board"}),
    awards: frozenset({"tenant", "award", "agent"}),
    shared_values: frozenset({"tenant", "value"}),
    shared_accounts: frozenset({"tenant", "account", "owner"}),
    shared_entries: frozenset({"tenant", "account", "entry"}),
    operator_caps: frozenset({"tenant", "owner"}),
    published: frozenset({"tenant", "name"}),
    published_read: frozenset({"tenant"}),
    **dict.fromkeys((runs, leases, threads, events), frozenset({"tenant"})),
}
"""The columns of each table that say whose a row is: the tenant, or what is made of it or found by it."""

_checked: set[str] = set()
compiles(leases_module._Now)(lambda *_, **__: "now")  # pyright: ignore[reportPrivateUsage] - to look at a statement


def tables_of_any_tenant(statement: Any) -> list[str]:
    """Return the tables of which a statement reads, changes or deletes rows whosesoever they are."""
    return sorted({name for part in visitors.iterate(statement) for name in _unkeyed_in(part)})


def check_every_statement() -> None:
    """Make each statement that guardgraph executes in this process fail that names no tenant."""
    event.listen(Engine, "before_cursor_execute", _check)


def _check(_connection: Any, _cursor: Any, text: str, _parameters: Any, context: Any, _many: Any) -> None:
    compiled = getattr(context, "compiled", None)
    if compiled is None or text in _checked or not _caller().startswith("guardgraph."):
        return
    found = tables_of_any_tenant(compiled.statement)
    assert not found, f"this statement names no tenant for {', '.join(found)}: {text}"
    _checked.add(text)


def _caller() -> str:
    """Return the name of the module that executes a statement."""
    frame, name = inspect.currentframe(), __name__
    while frame is not None and (name == __name__ or name.partition(".")[0] in {"sqlalchemy", "contextlib"}):
        frame, name = frame.f_back, frame.f_globals["__name__"]
    return name


def _unkeyed_in(part: Any) -> Iterator[str]:
    if isinstance(part, Select):
        sources = [source for source in _leaves(part.get_final_froms()) if source not in (part._correlate or ())]  # pyright: ignore[reportPrivateUsage]
        conditions = [part.whereclause, *(on for source in part.get_final_froms() for on in _inner_conditions(source))]
        outer = [(right, on) for source in part.get_final_froms() for right, on in _outer_conditions(source)]
    elif isinstance(part, Update | Delete):
        sources, conditions, outer = [part.table], [part.whereclause], []
    else:
        return
    unkeyed = [source for source in sources if _table_of(source) in KEYS]
    while keyed := [source for source in unkeyed if _is_keyed(source, unkeyed, conditions, outer)]:
        unkeyed = [source for source in unkeyed if source not in keyed]
    yield from (table.name for source in unkeyed if (table := _table_of(source)) is not None)


def _is_keyed(source: Any, unkeyed: list[Any], conditions: Iterable[Any], outer: list[tuple[Any, Any]]) -> bool:
    wanted = [*conditions, *(on for right, on in outer if source in _leaves([right]))]
    return any(_says_whose(condition, source, unkeyed) for condition in wanted if condition is not None)


def _says_whose(condition: Any, source: Any, unkeyed: list[Any]) -> bool:
    """Return whether a condition is only true for rows of one tenant, or of none."""
    if isinstance(condition, Grouping):
        return _says_whose(condition.element, source, unkeyed)
    if isinstance(condition, BooleanClauseList):
        every = all if condition.operator is operators.or_ else any
        return every(_says_whose(part, source, unkeyed) for part in condition.clauses)
    if isinstance(condition, UnaryExpression) and condition.operator is operators.inv:
        found = getattr(condition.element, "element", None)  # in brackets
        return isinstance(found, Exists) and any(_is_key(part, source) for part in visitors.iterate(found))
    if not isinstance(condition, BinaryExpression) or condition.operator not in (operators.eq, operators.in_op):
        return False
    sides = ((condition.left, condition.right), (condition.right, condition.left))
    return any(_is_key(one, source) and not _is_of(other, unkeyed) for one, other in sides)


def _is_key(part: Any, source: Any) -> bool:
    table = _table_of(source)
    is_column = isinstance(part, ColumnElement) and getattr(part, "table", None) is source
    return is_column and table is not None and part.key in KEYS[table]


def _is_of(part: Any, sources: list[Any]) -> bool:
    return getattr(part, "table", None) in sources


def _table_of(source: Any) -> Table | None:
    element = source.element if isinstance(source, Alias) else source
    return element if isinstance(element, Table) else None


def _leaves(sources: Iterable[FromClause]) -> Iterator[FromClause]:
    for source in sources:
        if isinstance(source, Join):
            yield from _leaves([source.left, source.right])
        else:
            yield source


def _inner_conditions(source: FromClause) -> Iterator[Any]:
    if isinstance(source, Join):
        if not (source.isouter or source.full):
            yield source.onclause
        yield from _inner_conditions(source.left)
        yield from _inner_conditions(source.right)


def _outer_conditions(source: FromClause) -> Iterator[tuple[FromClause, Any]]:
    """Yield what a left outer join says of its right side; of its left side it says nothing."""
    if isinstance(source, Join):
        if source.isouter and not source.full:
            yield source.right, source.onclause
        yield from _outer_conditions(source.left)
        yield from _outer_conditions(source.right)
