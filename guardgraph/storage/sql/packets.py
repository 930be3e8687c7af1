"""The size of a statement that MariaDB and MySQL take, their `max_allowed_packet`.

The server closes the connection in the midst of a larger one, which looks like a lost one. PyMySQL writes each byte as
two digits, so that a statement holds half of it at most. A larger value is sent in parts, which the server joins in a
variable: so it takes values of its whole packet. What is above that is refused before it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event

from guardgraph.state import TooLarge

__all__ = ("limit_packets",)

_SMALL = 400_000
"""Rows of fewer bytes fit the smallest packet that a server may be set to for blobs."""
_REST = 20_000
"""How many bytes a statement has besides its values at most."""
_LIMIT = "guardgraph_packet"
_TABLE = re.compile(r"guardgraph_\w+")


class _Variable(NamedTuple):
    """A variable of a session, and the statements that set it, add to it and clear it."""

    name: str
    set: str
    add: str
    clear: str


def _variable(name: str) -> _Variable:
    return _Variable(name, f"SET {name} = %s", f"SET {name} = CONCAT({name}, %s)", f"SET {name} = NULL")


_VARIABLES = tuple([_variable(f"@guardgraph_{number}") for number in range(8)])
"""More than any row has large values."""


def limit_packets(engine: Engine) -> None:
    """Let an engine of MariaDB or MySQL send large values in parts; what its server does not take is `TooLarge`."""

    used: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    def fit(
        connection: Connection,
        _cursor: object,
        statement: str,
        given: Any,
        _context: object,
        is_many: bool,  # noqa: FBT001 - SQLAlchemy calls it
    ) -> tuple[str, Any]:
        size = max(map(_size, given), default=0) if is_many else _size(given)
        if size <= _SMALL or 2 * size + _REST <= (limit := _limit_of(connection)):
            return statement, given
        in_parts = not is_many and isinstance(given, Mapping)  # as PyMySQL takes them
        if not in_parts or max(map(_length, given.values())) + _REST > limit:
            raise _refusal(statement, size, limit - _REST if in_parts else (limit - _REST) // 2, limit)
        changed, left = _in_parts(connection, statement, given, (limit - _REST) // 2)
        used[connection] = len(given) - len(left)
        return changed, left

    def clear(connection: Connection, *_: object) -> None:
        if used:
            for variable in _VARIABLES[: used.pop(connection, 0)]:
                connection.exec_driver_sql(variable.clear)

    event.listen(engine, "before_cursor_execute", fit, retval=True)
    event.listen(engine, "after_cursor_execute", clear)


def _in_parts(
    connection: Connection, statement: str, given: Mapping[str, Any], most: int
) -> tuple[str, Mapping[str, Any]]:
    """Set variables to the large values of a statement, and return the statement with these in their place."""
    large = {name: value for name, value in given.items() if _length(value) > _SMALL}
    for (name, value), variable in zip(large.items(), _VARIABLES, strict=False):
        connection.exec_driver_sql(variable.set, (value[:most],))
        for start in range(most, len(value), most):
            connection.exec_driver_sql(variable.add, (value[start : start + most],))
        statement = statement.replace(f"%({name})s", variable.name)
    return statement, {name: value for name, value in given.items() if name not in large}


def _size(given: Any) -> int:
    """Return how many bytes the values of one row have that are no short texts."""
    values = given.values() if type(given) is dict else given.values() if isinstance(given, Mapping) else given
    return sum([len(value) for value in cast("Sequence[Any]", values) if type(value) is bytes]) if given else 0


def _length(value: Any) -> int:
    return len(value) if type(value) is bytes else 0


def _limit_of(connection: Connection) -> int:
    """Return how large a statement may be, which is fixed for a connection."""
    if _LIMIT not in connection.info:
        connection.info[_LIMIT] = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    return connection.info[_LIMIT]


def _refusal(statement: str, size: int, most: int, limit: int) -> TooLarge:
    table = _TABLE.search(statement)
    return TooLarge(
        f"cannot store {size:,} bytes in one row of {table.group() if table else 'a table'}: the server takes values "
        f"of {most:,} (its max_allowed_packet is {limit:,}); raise max_allowed_packet, or keep large data in "
        "a file or a store, and its address in the state",
        size=size,
        limit=limit,
    )
