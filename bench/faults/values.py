"""Odd values and hostile texts through the saver, on every database: `python -m bench.faults.values --trials 10000`.

A trial stores one value in a channel, in the metadata and as a write of a task, some under a hostile thread id, and
reads all three. Each is equal, or refused with an error of guardgraph's; anything else is a fault, and is printed.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import click
from langgraph.checkpoint.base import empty_checkpoint
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import DDL, NullPool, create_engine, make_url
from sqlalchemy.exc import OperationalError

from bench.faults.kinds import KINDS, TYPES
from bench.measuring.peers import Missing
from bench.measuring.postgres import new_database
from guardgraph.state import GuardgraphError
from guardgraph.storage import SQLSaver

__all__ = ("hostile", "outcome_of", "same")

_MARIADB = "mariadb://root@127.0.0.1:3306/"
_LONG = 10 * 2**20
_TEXTS = (
    *("\0", "a\0b", "\ud800", "\udfff\ud800", "NaN", "Infinity", "\\u0000", "null", "\x1b[31m", "\u202e", "\uffff"),
    *("😀", "é", "ąčž", "'; DROP TABLE guardgraph_checkpoint; --", "%s", "$1"),
    '{"lc": 1, "type": "constructor", "id": ["os", "system"]}',
)
_NUMBERS = (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.8e308, 2**63, 2**64, -(2**63) - 1, 10**400, True, 0)


@click.command(help=__doc__)
@click.option("--trials", type=click.IntRange(min=1), default=1000, show_default=True, help="On each database.")
@click.option("--seed", type=int, default=1, show_default=True)
def main(trials: int, seed: int) -> None:
    table = Table("database", "equal", "refused", "changed", "other errors", box=box.MARKDOWN)
    faults: list[str] = []
    with ExitStack() as stack:
        for name, opened in _databases().items():
            try:
                saver = SQLSaver.from_url(stack.enter_context(opened), types=TYPES)
            except Missing as reason:
                print(f"left out: {reason}")
                continue
            found = Counter[str]()
            with saver:
                for number, (told, value, thread_id) in enumerate(_trials(trials, Random(seed))):
                    outcome = outcome_of(saver, value, thread_id)
                    found[outcome.partition(":")[0]] += 1
                    if not outcome.startswith(("equal", "refused")):
                        faults.append(f"{name}, seed {seed}, trial {number}: {told}: {outcome}")
            table.add_row(name, *(f"{found[kind]:,}" for kind in ("equal", "refused", "changed", "error")))
    Console(width=140).print(table)
    for fault in faults[:20]:
        print(ascii(fault[:300]))
    if faults:
        raise SystemExit(1)


def _trials(count: int, random: Random) -> Iterator[tuple[str, Any, str]]:
    """Yield what each trial stores: first every kind once, then hostile values."""
    yield from ((name, value, f"kind {name}") for name, value in [*KINDS.items()][:count])
    for number in range(count - len(KINDS)):
        long = number % 1000 == 500
        text = random.choice(_TEXTS)
        value = text * (_LONG // len(text)) if long else hostile(random)
        yield "hostile", value, f"{random.choice(_TEXTS)}{number}"


def hostile(random: Random, depth: int = 0) -> Any:
    """Return a random value of texts and numbers that break other stores, in containers up to four deep."""
    match random.randrange(4 if depth > 3 else 10):
        case 0 | 1:
            return "".join(random.choices([*_TEXTS, "a", " ", chr(random.randrange(0x110000))], k=random.randrange(5)))
        case 2:
            return random.choice(_NUMBERS)
        case 3:
            return random.choice([bytes, bytearray])(random.randbytes(random.randrange(400)))
        case 4 | 5:
            return [hostile(random, depth + 1) for _ in range(random.randrange(4))]
        case 6 | 7:
            keys = [random.choice(_TEXTS), random.choice(_NUMBERS), f"{random.random()}"]
            return {key: hostile(random, depth + 1) for key in random.sample(keys, random.randrange(4))}
        case 8:
            return tuple(hostile(random, depth + 1) for _ in range(random.randrange(4)))
        case _:
            return random.choice([*KINDS.values()])


def outcome_of(saver: SQLSaver, value: Any, thread_id: str) -> str:
    """Return `equal`, or `refused`, `changed` or `error` with the reason after a colon."""
    checkpoint = {**empty_checkpoint(), "channel_values": {"c": value}, "channel_versions": {"c": 1}}
    config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    metadata: Any = {"source": "loop", "step": 0, "note": value}
    try:
        stored: Any = saver.put(config, checkpoint, metadata, {"c": 1})  # type: ignore[arg-type]
        saver.put_writes(stored, [("c", value)], "task")
        found = saver.get_tuple(stored)
    except GuardgraphError as error:
        return f"refused: {error}"
    except Exception as error:  # which is what is looked for
        return f"error: {type(error).__name__}: {error}"
    if found is None:
        return "changed: it is not there"
    read = [found.checkpoint["channel_values"]["c"], dict(found.metadata)["note"], (found.pending_writes or [])[0][2]]
    return "equal" if all(same(item, value) for item in read) else f"changed: {read[0]!r:.100}"


def same(one: Any, other: Any) -> bool:
    """Compare values and all their types: 1, 1.0 and True are three values, and NaN is one."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=False)
        return len(one) == len(other) and all(same(a, b) and same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float | complex):
        return repr(one) == repr(other)
    return bool(repr(one) == repr(other)) if hasattr(one, "dtype") or one != other else True


def _databases() -> dict[str, Any]:
    return {"SQLite": _new_sqlite(), "PostgreSQL": new_database(), "MariaDB": _new_mariadb()}


@contextmanager
def _new_sqlite() -> Generator[str]:
    with TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'values.db'}"


@contextmanager
def _new_mariadb() -> Generator[str]:
    """Give the URL of a new database on the server of `GUARDGRAPH_TEST_MARIADB_URL`, and drop it afterwards."""
    address = make_url(os.environ.get("GUARDGRAPH_TEST_MARIADB_URL", _MARIADB)).set(drivername="mariadb+pymysql")
    admin, name = create_engine(address, poolclass=NullPool), f"guardgraph_bench_{uuid4().hex}"
    try:
        with admin.connect() as connection:
            connection.execute(DDL("CREATE DATABASE %(name)s CHARACTER SET utf8mb4", context={"name": name}))
    except OperationalError as error:
        raise Missing("MariaDB does not answer") from error
    try:
        yield address.set(drivername="mariadb", database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(DDL("DROP DATABASE %(name)s", context={"name": name}))


if __name__ == "__main__":
    main()
