"""What every driver does in a transaction: it checks one lease, and stores a row of a checkpoint and one of writes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

__all__ = ("POSTGRES", "SQLITE", "Call", "Statements", "calls")

_ROW = 300
"""Bytes of each of the two rows, less its ids."""


class Call(NamedTuple):
    """What is stored by one call."""

    lease: tuple[str]
    checkpoint: tuple[str, int, bytes]
    writes: tuple[str, int, bytes]


class Statements(NamedTuple):
    """The statements of one kind of database, as its drivers take them."""

    tables: tuple[str, ...]
    clear: tuple[str, ...]
    check: str
    add_checkpoint: str
    add_writes: str

    def of(self, call: Call) -> tuple[tuple[str, tuple[object, ...]], ...]:
        """Return what one call executes, with its values."""
        return (self.check, call.lease), (self.add_checkpoint, call.checkpoint), (self.add_writes, call.writes)


SQLITE = Statements(
    (
        "CREATE TABLE IF NOT EXISTS leases (thread_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS checkpoints (thread_id TEXT, id INTEGER, body BLOB, PRIMARY KEY (thread_id, id))",
        "CREATE TABLE IF NOT EXISTS writes (thread_id TEXT, id INTEGER, data BLOB, PRIMARY KEY (thread_id, id))",
        "INSERT INTO leases VALUES ('t', 1) ON CONFLICT DO NOTHING",
    ),
    ("DELETE FROM checkpoints", "DELETE FROM writes"),
    "SELECT epoch FROM leases WHERE thread_id = ?",
    "INSERT INTO checkpoints VALUES (?, ?, ?)",
    "INSERT INTO writes VALUES (?, ?, ?)",
)
POSTGRES = Statements(
    (
        "CREATE TABLE IF NOT EXISTS leases (thread_id TEXT PRIMARY KEY, epoch BIGINT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS checkpoints (thread_id TEXT, id BIGINT, body BYTEA, PRIMARY KEY (thread_id, id))",
        "CREATE TABLE IF NOT EXISTS writes (thread_id TEXT, id BIGINT, data BYTEA, PRIMARY KEY (thread_id, id))",
        "INSERT INTO leases VALUES ('t', 1) ON CONFLICT DO NOTHING",
    ),
    ("TRUNCATE checkpoints", "TRUNCATE writes"),
    "SELECT epoch FROM leases WHERE thread_id = %s FOR SHARE",
    "INSERT INTO checkpoints VALUES (%s, %s, %s)",
    "INSERT INTO writes VALUES (%s, %s, %s)",
)


def calls() -> Iterator[Call]:
    """Yield calls without end, each with other ids."""
    data = random.Random(1).randbytes(_ROW)
    for number in count():
        yield Call(("t",), ("t", number, data), ("t", number, data))
