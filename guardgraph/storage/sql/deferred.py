"""Statements of a transaction that wait for its end, where those with the same text are run together."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

from guardgraph.storage.sql.driver_calls import run_together

__all__ = ("Unexpected", "collecting", "defer", "run_deferred", "run_now")


class Unexpected(Exception):
    """Statements that ran together have changed fewer rows than expected; each has to run by itself."""


@dataclass(slots=True)
class _Deferred:
    """What waits in one transaction."""

    given: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    """The values of each statement, as the driver takes them, by its text."""
    counted: set[str] = field(default_factory=set[str])
    """The statements that have to change one row each."""
    is_open: bool = True


_of: WeakKeyDictionary[Connection, _Deferred] = WeakKeyDictionary()


@contextmanager
def collecting(connection: Connection) -> Generator[None]:
    """Let statements wait in the block, and run them at its end. Raises `Unexpected`."""
    _of[connection] = _Deferred()
    try:
        yield
        run_deferred(connection)
    finally:
        _of.pop(connection, None)


@contextmanager
def run_now(connection: Connection) -> Generator[None]:
    """Run what waits, and let nothing wait in the block. Raises `Unexpected`."""
    run_deferred(connection)
    if (waiting := _of.get(connection)) is None:
        yield
        return
    waiting.is_open = False
    try:
        yield
    finally:
        waiting.is_open = True


def defer(connection: Connection, text: str, given: list[Any], *, changes_one: bool) -> bool:
    """Let a statement wait, once for each of some values; return whether it does, or else is to be run now.

    What `changes_one` row each time makes `run_deferred` raise where it has not.
    """
    waiting = _of.get(connection)
    if waiting is None or not waiting.is_open:
        return False
    waiting.given.setdefault(text, []).extend(given)
    if changes_one:
        waiting.counted.add(text)
    return True


def run_deferred(connection: Connection) -> None:
    """Run what waits, statement by statement, each with all its values.

    Raises:
        Unexpected: one that is to change a row each time has not.
    """
    waiting = _of.get(connection)
    if waiting is None or not waiting.given:
        return
    given, waiting.given = waiting.given, {}
    counts = run_together(connection, given)
    if any(counts[text] != len(given[text]) for text in waiting.counted & given.keys()):
        raise Unexpected
