"""Damage to stored threads: `python -m bench.faults.damage --trials 10000`.

Each trial damages one cell or row of a small database in memory: flips a bit, cuts the end off, puts an older state of
the row back, or the value of another row, swaps the keys of two rows, or deletes a row. Then all threads are read,
verified and repaired, and compared with what was stored.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import add
from random import Random
from typing import Annotated, Any, NamedTuple

import click
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.graph import START, StateGraph
from langgraph.types import Send, interrupt
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, bindparam, select, text
from sqlalchemy.dialects import sqlite
from typing_extensions import TypedDict

from guardgraph.state import StorageCorrupt, StorageError
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.engine import engine_of
from guardgraph.storage.sql.tables import metadata

__all__ = ("Damager", "Tally", "run_trials")

THREADS = ("one", "two")
_TABLES = ("thread", "namespace", "checkpoint", "chunk", "blob", "write")
_KEYS = {
    "thread": 2,
    "namespace": 1,
    "checkpoint": 2,
    "chunk": 3,
    "blob": 2,
    "write": 3,
}
"""How many columns at the beginning of each table are its key."""


def _extended(log: Any, writes: Sequence[Any]) -> list[Any]:
    return [*(log or ()), *(item for write in writes for item in write)]


class _State(TypedDict, total=False):
    log: Annotated[list[str], add]
    deltas: Annotated[list[str], DeltaChannel(_extended, snapshot_frequency=4)]
    large: str
    small: int


def _graph(name: str) -> Any:
    """Return a graph with a growing list, a delta channel, nodes that work at once, a nested graph, and a question."""
    nested: Any = StateGraph(_State)
    nested.add_node("inner", lambda state: {"deltas": [f"{name} inner"]})
    nested.add_edge(START, "inner")
    graph: Any = StateGraph(_State)
    graph.add_node("begin", lambda state: {"log": [f"{name} {'x' * 300}"], "large": f"{name} " * 200, "small": 1})
    graph.add_node("work", lambda item: {"log": [f"{name} {item['n']} {'y' * 300}"], "deltas": [f"{name} {item['n']}"]})
    graph.add_node("nested", nested.compile(checkpointer=True))
    graph.add_node("ask", lambda state: {"log": [interrupt(f"{name}?")]})
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", lambda state: [Send("work", {"n": n}) for n in range(3)], ["work"])
    graph.add_edge("work", "nested")
    graph.add_edge("nested", "ask")
    return graph


def _fill(engine: Engine, turns: int) -> None:
    """Let each thread go through the graph so often; it waits for an answer then."""
    for name in THREADS:
        with SQLSaver(engine) as saver:
            graph = _graph(name).compile(checkpointer=saver)
            for _ in range(turns):
                graph.invoke({"log": [name]}, {"configurable": {"thread_id": name}}, durability="sync")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a saver returns of all threads."""

    newest: dict[tuple[str, str], Any]
    """By thread and namespace: the newest checkpoint and what its delta channel is rebuilt from, or an error."""
    listed: dict[tuple[str, str, str], CheckpointTuple]
    logged: int
    """How many checkpoints were left out of a listing with an error in the log."""


class _Count(logging.Handler):
    """Counts what is logged."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


@contextmanager
def _counted() -> Generator[_Count]:
    """Count what guardgraph logs, and print nothing of it."""
    log, count = logging.getLogger("guardgraph"), _Count()
    log.addHandler(count)
    log.propagate = False
    try:
        yield count
    finally:
        log.removeHandler(count)
        log.propagate = True


def read(saver: SQLSaver) -> Reading:
    """Read all that can be read."""
    newest: dict[tuple[str, str], Any] = {}
    for thread in THREADS:
        for namespace in ("", "nested"):
            config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": namespace}}
            try:
                newest[thread, namespace] = (saver.get_tuple(config), _rebuilt(saver, config))
            except StorageError as error:
                newest[thread, namespace] = error
    with _counted() as logged:
        found = [item for thread in THREADS for item in saver.list({"configurable": {"thread_id": thread}})]
    return Reading(newest, {(*_key(item.config),): item for item in found}, logged.count)


def _rebuilt(saver: SQLSaver, config: Any) -> Any:
    """Return what the delta channel of a checkpoint is rebuilt from, where it is not stored in it."""
    found = saver.get_tuple(config)
    if found is None or "deltas" in found.checkpoint["channel_values"]:
        return None
    return saver.get_delta_channel_history(config=config, channels=["deltas"])


def _key(config: Any) -> tuple[str, str, str]:
    ids = config["configurable"]
    return ids["thread_id"], ids["checkpoint_ns"], ids["checkpoint_id"]


class _Statements(NamedTuple):
    """The statements of one table, with its columns as the names of their values."""

    select: str
    insert: str
    delete: str


def _statements(name: str) -> _Statements:
    table = metadata.tables[f"guardgraph_{name}"]
    keys = list(table.columns)[: _KEYS[name]]
    built = (
        select(text("*")).select_from(table),
        table.insert().values({column.name: bindparam(column.name) for column in table.columns}),
        table.delete().where(*(column == bindparam(column.name) for column in keys)),
    )
    return _Statements(*(str(one.compile(dialect=sqlite.dialect(paramstyle="named"))) for one in built))


class Damager:
    """A database that can be damaged, and put back as it was."""

    def __init__(self) -> None:
        """Make it, with an older state of it."""
        self.engine = engine_of("sqlite://")
        _fill(self.engine, 1)
        with self.engine.connect() as connection:
            self._raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        self._statements = {name: _statements(name) for name in _TABLES}
        self._older, self._good = (sqlite3.connect(":memory:") for _ in range(2))
        self._raw.backup(self._older)
        _fill(self.engine, 1)
        self._raw.backup(self._good)
        self.columns = {table: self._select(self._good, f"PRAGMA table_info(guardgraph_{table})") for table in _TABLES}

    def restore(self) -> None:
        """Undo all damage."""
        self._good.backup(self._raw)

    def damage(self, kind: str, table: str, chance: Random) -> str | None:
        """Damage one row of a table, and return what was damaged; `None` where that changes nothing."""
        rows = self._rows(self._good, table)
        row = chance.choice(rows)
        names = [column[1] for column in self.columns[table]]
        if kind == "delete":
            self._change(table, row, None)
            return "row"
        if kind == "swap":
            other = chance.choice(rows)
            if other == row:
                return None
            keys = _KEYS[table]
            self._change(table, row, None)
            self._change(table, other, (*row[:keys], *other[keys:]))
            self._insert(table, (*other[:keys], *row[keys:]))
            return "keys"
        if kind == "older row":
            older = [one for one in self._rows(self._older, table) if one[: _KEYS[table]] == row[: _KEYS[table]]]
            return "row" if older and older[0] != row and self._change(table, row, older[0]) else None
        at = chance.randrange(len(names))
        value = self._changed(kind, row[at], [one[at] for one in rows], chance)
        if value == row[at] or not self._change(table, row, (*row[:at], value, *row[at + 1 :])):
            return None
        return names[at]

    def _changed(self, kind: str, value: Any, others: Sequence[Any], chance: Random) -> Any:
        if kind == "other row":
            return chance.choice(others)
        if isinstance(value, int):
            return value ^ (1 << chance.randrange(20)) if kind == "flip" else value >> chance.randint(1, 8)
        if value is None or value == "":
            return "put where nothing was"
        at = chance.randrange(len(value))
        if kind == "cut":
            return value[:at]
        if isinstance(value, str):
            return value[:at] + chr(33 + (ord(value[at]) - 33 + chance.randint(1, 50)) % 90) + value[at + 1 :]
        return value[:at] + bytes([value[at] ^ (1 << chance.randrange(8))]) + value[at + 1 :]

    def _rows(self, raw: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
        return self._select(raw, self._statements[table].select)

    def _select(self, raw: sqlite3.Connection, statement: str) -> list[tuple[Any, ...]]:
        return raw.execute(statement).fetchall()

    def _change(self, table: str, row: tuple[Any, ...], new: tuple[Any, ...] | None) -> bool:
        """Delete a row, and insert another one; return whether the database takes that."""
        self._raw.execute("BEGIN")
        self._raw.execute(self._statements[table].delete, self._named(table, row))
        try:
            if new is not None:
                self._insert(table, new)
        except sqlite3.IntegrityError:
            self._raw.execute("ROLLBACK")
            return False
        self._raw.execute("COMMIT")
        return True

    def _insert(self, table: str, row: tuple[Any, ...]) -> None:
        self._raw.execute(self._statements[table].insert, self._named(table, row))

    def _named(self, table: str, row: tuple[Any, ...]) -> dict[str, Any]:
        return {column[1]: value for column, value in zip(self.columns[table], row, strict=True)}


@dataclass(slots=True)
class Tally:
    """What was counted over some trials of one kind."""

    trials: int = 0
    silent: list[str] = field(default_factory=list[str])
    """Neither reading nor `verify` has raised or named anything, and something is missing or another one."""
    unraised: list[str] = field(default_factory=list[str])
    """Reading has neither raised nor logged anything, and something is missing or another one; `verify` may name it."""
    pending: int = 0
    """Those of them where the row of what a task wrote at a newest checkpoint is gone: its task runs again."""
    unread: int = 0
    """Found by `verify` alone: what was read was right, or right but for what tasks wrote at older checkpoints."""
    wrong: list[str] = field(default_factory=list[str])
    """Something was read that was never stored, without an error."""
    unnamed: list[str] = field(default_factory=list[str])
    """The errors that do not name thread, checkpoint and column."""
    unlisted: list[str] = field(default_factory=list[str])
    """Checkpoints that no error names were left out of the list."""
    unrepaired: list[str] = field(default_factory=list[str])
    """`repair` left damage, or a thread that does not go on."""


KINDS = ("flip", "cut", "older row", "other row", "swap", "delete")


def trial(damager: Damager, good: Reading, what: str, tally: Tally) -> None:
    """Read, verify and repair a damaged database, and count."""
    with SQLSaver(damager.engine) as saver:
        found = read(saver)
        faults = [fault for thread in THREADS for fault in saver.verify(thread)]
        errors = [error for error in found.newest.values() if isinstance(error, StorageError)]
        tally.trials += 1
        missing = good.listed.keys() - found.listed.keys()
        changed = {key for key, item in found.listed.items() if good.listed.get(key) != item}
        served = {
            at for at, item in found.newest.items() if not isinstance(item, StorageError) and item != good.newest[at]
        }
        is_wrong = bool(missing or changed or served)
        if is_wrong and not errors and not found.logged:
            tally.unraised.append(what)
        only_writes = all(_but_writes(found.listed[key]) == _but_writes(good.listed.get(key)) for key in changed)
        if not faults and not errors and is_wrong:
            tally.silent.append(what)
            tally.pending += not missing and only_writes and all(_is_newest(key, good) for key in changed)
        elif faults and not errors:
            tally.unread += 1
        if not only_writes or (served and not faults):
            tally.wrong.append(what)
        if any(not _is_named(error) for error in (*faults, *errors)):
            tally.unnamed.append(what)
        named = {fault.checkpoint_id for fault in faults}
        named |= {_parent_id(item) for (*_, name), item in good.listed.items() if name in named}
        if not {key[2] for key in missing} <= named and not any(fault.column in ("name", "head") for fault in faults):
            tally.unlisted.append(what)
        if faults and not _goes_on(saver, good):
            tally.unrepaired.append(what)


def _but_writes(item: CheckpointTuple | None) -> Any:
    return None if item is None else item._replace(pending_writes=None)


def _is_newest(key: tuple[str, str, str], good: Reading) -> bool:
    return key == max(other for other in good.listed if other[:2] == key[:2])


def _is_named(error: StorageError) -> bool:
    return isinstance(error, StorageCorrupt) and bool(error.thread_id and error.column)


def _parent_id(item: CheckpointTuple) -> str | None:
    return _key(item.parent_config)[2] if item.parent_config else None


def _goes_on(saver: SQLSaver, good: Reading) -> bool:
    """Repair all threads; return whether each goes on from a checkpoint that was stored."""
    for thread in THREADS:
        saver.repair(thread)
    for thread in THREADS:
        config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        try:
            found = saver.get_tuple(config)
            if found is None:
                return False
            if _but_writes(found) != _but_writes(good.listed.get(_key(found.config))):
                return False
            _rebuilt(saver, config)
            checkpoint: Any = {**found.checkpoint, "id": f"2{found.checkpoint['id']}"}
            at = saver.put(found.config, checkpoint, {}, found.checkpoint["channel_versions"])
            if saver.get_tuple(config) is None or saver.get_tuple(at) != saver.get_tuple(config):
                return False
        except StorageError:
            return False
    return True


def run_trials(trials: int, seed: int) -> dict[tuple[str, str], Tally]:
    """Return what was counted, by table and kind of damage."""
    chance, damager = Random(seed), Damager()
    with SQLSaver(damager.engine) as saver:
        good = read(saver)
    assert not any(isinstance(item, StorageError) for item in good.newest.values())
    tallies: dict[tuple[str, str], Tally] = {}
    done = 0
    while done < trials:
        table, kind = chance.choice(_TABLES), chance.choice(KINDS)
        damager.restore()
        if (what := damager.damage(kind, table, chance)) is None:
            continue
        trial(damager, good, f"{table}.{what}", tallies.setdefault((table, kind), Tally()))
        done += 1
    return tallies


@click.command(help=__doc__)
@click.option("--trials", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(trials: int, seed: int) -> None:
    tallies = run_trials(trials, seed)
    heads = (
        "silent reading",
        "silent",
        "of pending writes",
        "verify alone",
        "wrong",
        "unnamed",
        "unlisted",
        "unrepaired",
    )
    table = Table("table", "damage", "trials", *heads)
    for (name, kind), one in sorted(tallies.items()):
        rest = map(len, (one.wrong, one.unnamed, one.unlisted, one.unrepaired))
        table.add_row(
            name, kind, *map(str, (one.trials, len(one.unraised), len(one.silent), one.pending, one.unread, *rest))
        )
    Console(width=150).print(table)
    for word in ("unraised", "silent", "wrong", "unnamed", "unlisted", "unrepaired"):
        where = Counter(f"{what} ({kind})" for (_, kind), one in tallies.items() for what in getattr(one, word))
        click.echo(f"{word}: {where.total()} {dict(where) or ''}")
    silent = sum(len(one.silent) - one.pending for one in tallies.values())
    sys.exit(bool(silent or any(one.wrong or one.unrepaired for one in tallies.values())))


if __name__ == "__main__":
    main()
