"""Storing checkpoints and writes, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import Row, insert_new, insert_or_replace, line_row
from guardgraph.storage.sql.tables import checkpoints, lines, values, writes

__all__ = ("store_checkpoint", "store_writes")


def store_checkpoint(connection: Connection, place: Place, row: Row, new_values: Sequence[Row]) -> None:
    """Store a checkpoint and its new values; a value that is there already stays, since a version never changes."""
    connection.execute(insert_new(connection.dialect, lines), line_row(place))
    if new_values:
        connection.execute(insert_new(connection.dialect, values), new_values)
    connection.execute(insert_or_replace(connection.dialect, checkpoints), row)


def store_writes(connection: Connection, place: Place, *, keep: Sequence[Row], replace: Sequence[Row]) -> None:
    """Store a task's writes: those of `keep` unless they are there already, those of `replace` in any case."""
    connection.execute(insert_new(connection.dialect, lines), line_row(place))
    if keep:
        connection.execute(insert_new(connection.dialect, writes), keep)
    if replace:
        connection.execute(insert_or_replace(connection.dialect, writes), replace)
