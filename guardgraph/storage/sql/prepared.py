"""Statements of the hot path, compiled once for each kind of database and run without SQLAlchemy's own work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, CursorResult, Dialect, Row
from sqlalchemy.sql.expression import Executable

__all__ = ("Prepared",)

_ROWCOUNT = {"preserve_rowcount": True}


class _Compiled(NamedTuple):
    text: str
    names: tuple[str, ...] | None
    """The parameters in order, where the driver takes them so."""

    def given(self, values: Mapping[str, Any]) -> Any:
        """Return the values as the driver takes them."""
        return dict(values) if self.names is None else tuple([values[name] for name in self.names])


class Prepared:
    """One statement, run with values by the names of its parameters; other values are ignored."""

    def __init__(self, build: Callable[[Dialect], Executable]) -> None:
        """Use the statement that `build` returns; its values are passed to the driver as they are."""
        self._build = build
        self._compiled: dict[tuple[str, str], _Compiled] = {}

    def __call__(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement, and return how many rows it has changed."""
        compiled = self._compiled_for(connection.dialect)
        return connection.exec_driver_sql(compiled.text, compiled.given(values), execution_options=_ROWCOUNT).rowcount

    def each(self, connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run the statement once for each of `rows`, of which there is one at least."""
        compiled = self._compiled_for(connection.dialect)
        connection.exec_driver_sql(compiled.text, [compiled.given(row) for row in rows])

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Row[Any] | None:
        """Return the first row that the statement finds, its values as the driver gives them."""
        compiled = self._compiled_for(connection.dialect)
        found: CursorResult[Any] = connection.exec_driver_sql(compiled.text, compiled.given(values))
        return found.first()

    def _compiled_for(self, dialect: Dialect) -> _Compiled:
        key = dialect.name, dialect.driver
        found = self._compiled.get(key)
        if found is None:
            compiled: Any = self._build(dialect).compile(dialect=dialect)  # type: ignore[attr-defined]
            names = tuple(compiled.positiontup) if compiled.positional else None
            found = self._compiled[key] = _Compiled(str(compiled), names)
        return found
