"""Statements of the hot path, compiled once for each kind of database and run without SQLAlchemy's own work."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect, bindparam
from sqlalchemy.sql.expression import Executable

from guardgraph.storage.sql.deferred import defer
from guardgraph.storage.sql.driver_calls import run

__all__ = ("KEYS", "Prepared", "PreparedIn", "batches")

KEYS = 400
"""How many keys one statement names at most; every database takes a few hundred parameters."""

_LENGTHS = (1, 4, 16, 64, KEYS)
_rowcount = attrgetter("rowcount")


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    names: tuple[str, ...] | None
    """The parameters in order, where the driver takes them so."""
    fixed: dict[str, Any]
    """The values that the statement brings itself."""
    row_of: list[Callable[[Iterable[Any]], Any]] = field(default_factory=list[Any])
    """How a row is made of its values; known once the statement was run."""

    def given(self, values: Mapping[str, Any]) -> Any:
        """Return the values as the driver takes them."""
        given = {**self.fixed, **values} if self.fixed else values
        return dict(given) if self.names is None else tuple([given[name] for name in self.names])

    def rows_of(self, cursor: Any) -> list[Any]:
        """Return what a cursor has found, as tuples with names."""
        if not self.row_of:
            names = [column[0] for column in cursor.description]
            self.row_of.append(namedtuple("Row", names)._make)  # pyright: ignore[reportUntypedNamedTuple] - by its columns
        return [*map(self.row_of[0], cursor.fetchall())]


class Prepared:
    """One statement, run with values by the names of its parameters; other values are ignored."""

    def __init__(self, build: Callable[[Dialect], Executable]) -> None:
        """Use the statement that `build` returns; its values are passed to the driver as they are."""
        self._build = build
        self._compiled: dict[tuple[str, str], _Compiled] = {}

    def __call__(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement, and return how many rows it has changed."""
        compiled = self._compiled_for(connection.dialect)
        return run(connection, compiled.text, compiled.given(values), _rowcount)

    def each(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run the statement once for each of `rows`, of which there is one at least.

        In a transaction of several jobs that is done at their end, see `deferred`.
        """
        compiled = self._compiled_for(connection.dialect)
        given = [compiled.given(row) for row in rows]
        if not defer(connection, compiled.text, given, changes_one=False):
            many = len(given) > 1
            run(connection, compiled.text, given if many else given[0], _rowcount, many=many)

    def one(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement, and return how many rows it has changed: one is expected.

        In a transaction of several jobs that is done at their end, see `deferred`; where it changes none, each job is
        done again in a transaction of its own, in which this returns the number.
        """
        compiled = self._compiled_for(connection.dialect)
        given = compiled.given(values)
        if defer(connection, compiled.text, [given], changes_one=True):
            return 1
        return run(connection, compiled.text, given, _rowcount)

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Return the first row that the statement finds, its values as the driver gives them; `None` without any."""
        return next(iter(self.rows(connection, values)), None)

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Return the rows that the statement finds, as tuples with names, their values as the driver gives them."""
        compiled = self._compiled_for(connection.dialect)
        return run(connection, compiled.text, compiled.given(values), compiled.rows_of)

    def _compiled_for(self, dialect: Dialect) -> _Compiled:
        key = dialect.name, dialect.driver
        found = self._compiled.get(key)
        if found is None:
            compiled: Any = self._build(dialect).compile(dialect=dialect)  # type: ignore[attr-defined]
            names = tuple(compiled.positiontup) if compiled.positional else None
            fixed = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
            found = self._compiled[key] = _Compiled(str(compiled), names, fixed)
        return found


class PreparedIn:
    """A statement that names a list of keys, compiled for a few lengths of that list."""

    def __init__(self, build: Callable[[Sequence[BindParameter[Any]]], Executable]) -> None:
        """Use the statement that `build` returns for the parameters of the keys."""
        self._prepared = {length: Prepared(_with_keys(build, length)) for length in _LENGTHS}

    def rows(self, connection: Connection, keys: Iterable[Any], values: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the rows of some keys, in the order of the statement for each few hundred of them."""
        for some in batches(keys):
            length = next(length for length in _LENGTHS if length >= len(some))
            filled = [*some, *[some[-1]] * (length - len(some))]
            named = {f"key_{number}": key for number, key in enumerate(filled)}
            yield from self._prepared[length].rows(connection, {**values, **named})


def batches(keys: Iterable[Any], size: int = KEYS) -> Iterable[list[Any]]:
    """Cut keys into lists that fit one statement."""
    items = list(keys)
    return (items[start : start + size] for start in range(0, len(items), size))


def _with_keys(
    build: Callable[[Sequence[BindParameter[Any]]], Executable], length: int
) -> Callable[[Dialect], Executable]:
    return lambda _: build([bindparam(f"key_{number}") for number in range(length)])
