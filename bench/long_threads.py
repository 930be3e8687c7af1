"""Size and cost of a long thread, with SQLSaver and with LangGraph's savers: `python -m bench.long_threads`.

Each superstep adds a message of 1 KB that does not compress to a list under `add_messages`. On SQLite, sizes are those
of the file after its log was written back, and bytes written are those of the process, as the kernel counts them; on
PostgreSQL, they are what the database has grown by and the bytes of its write-ahead log.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import uuid4

import click

from bench.checkpoints import thread_graph
from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.peers import Missing, peer
from bench.measuring.postgres import new_database
from bench.measuring.report import Report, show
from bench.measuring.saver_contest import FULL, POSTGRES, VERSIONS
from bench.measuring.savers import our_postgres, our_sqlite, stock_postgres, stock_sqlite

_SIZE, _GROWTH, _WRITTEN = "MB stored", "times the store of a tenth", "MB written"
_TIME, _FIRST, _LAST = "s a thread", "CPU ms a step, first 10", "CPU ms a step, last 10"
_RESUME, _HISTORY = "CPU ms get_tuple", "CPU ms history of 20"
_GOALS = {
    FULL: {_SIZE: 1 / 200, _WRITTEN: 1 / 30, _TIME: 1 / 4, _RESUME: 1.0, _HISTORY: 1 / 10},
    POSTGRES: {_SIZE: 1 / 200, _WRITTEN: 1 / 200, _TIME: 1 / 8, _RESUME: 1.0, _HISTORY: 1 / 10},
}


class _Store(NamedTuple):
    """A saver on a new database, with what it has stored and written so far, in MB."""

    saver: Any
    stored: Callable[[], float]
    written: Callable[[], float]


@click.command(help=__doc__)
@click.option("--steps", type=click.IntRange(min=100), default=1000, show_default=True, help="Supersteps of a thread.")
@click.option("--ours-only", is_flag=True, help="Leave out LangGraph's savers, which take most of the time.")
@common_options(rounds=3)
def main(steps: int, ours_only: bool, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes them by name
    stores = {
        FULL: (partial(_sqlite, our_sqlite), partial(_sqlite, stock_sqlite)),
        POSTGRES: (partial(_postgres, our_postgres), partial(_postgres, stock_postgres)),
    }
    contestants: list[Contestant] = []
    missing: list[str] = []
    for pair, opened in stores.items():
        for name, open_ in [*zip(pair, opened, strict=True)][: 1 if ours_only else 2]:
            try:
                with ExitStack() as stack:
                    open_(stack)
                contestants.append(Contestant(name, partial(_measured, open_, steps)))
            except Missing as reason:
                missing.append(f"{name}: {reason}")
    figures = compete(contestants, rounds=rounds)
    compared = [
        Comparison(*pair, quantity, at_most=goal)
        for pair, goals in _GOALS.items()
        for quantity, goal in goals.items()
        if {*pair} <= figures.keys()
    ]
    title = f"A thread of {steps} supersteps, each adds a message of 1 KB to a list"
    show([Report(title, figures, compared, missing)], versions=VERSIONS, as_json=as_json)


def _measured(open_: Callable[[ExitStack], _Store], steps: int) -> Mapping[str, float]:
    tenth = _thread(open_, steps // 10)[_SIZE]
    found = _thread(open_, steps)
    return {**found, _GROWTH: found[_SIZE] / tenth}


def _thread(open_: Callable[[ExitStack], _Store], steps: int) -> dict[str, float]:
    """Run one thread on a new database, read it, and return its figures."""
    config: Any = {"configurable": {"thread_id": uuid4().hex}, "recursion_limit": steps + 2}
    marks: list[float] = []
    graph = thread_graph(steps, says=random.Random(1), at_each=lambda: marks.append(time.process_time()))
    with ExitStack() as stack:
        saver, stored, written = open_(stack)
        kept, before, begun = graph.compile(checkpointer=saver), written(), time.perf_counter()
        kept.invoke({"step": 0}, config, durability="sync")
        seconds, wrote = time.perf_counter() - begun, written() - before
        return {
            _TIME: seconds,
            _WRITTEN: wrote,
            _FIRST: (marks[10] - marks[0]) * 100,
            _LAST: (marks[-1] - marks[-11]) * 100,
            _RESUME: _cpu(lambda: saver.get_tuple(config)),
            _HISTORY: _cpu(lambda: list(saver.list(config, limit=20))),
            _SIZE: stored(),
        }


def _sqlite(make: Callable[..., Any], stack: ExitStack) -> _Store:
    folder = Path(stack.enter_context(TemporaryDirectory()))
    return _Store(make(stack, folder, "FULL"), lambda: _size(folder), _written)


def _postgres(make: Callable[..., Any], stack: ExitStack) -> _Store:
    url = stack.enter_context(new_database())
    admin = stack.enter_context(peer("psycopg", distribution="psycopg").connect(url, autocommit=True))

    def megabytes(query: str) -> float:
        return float(admin.execute(query).fetchone()[0]) / 1e6

    size = "SELECT pg_database_size(current_database())"
    saver = make(stack, url)
    saver.get_tuple({"configurable": {"thread_id": "none", "checkpoint_ns": ""}})  # which makes the tables
    empty = megabytes(size)
    return _Store(
        saver, lambda: megabytes(size) - empty, lambda: megabytes("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
    )


def _size(folder: Path) -> float:
    (path,) = folder.glob("*.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size / 1e6


def _written() -> float:
    """Return how many MB this process has written so far; 0 where the system does not count them."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    lines = counters.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes")) / 1e6


def _cpu(work: Callable[[], Any]) -> float:
    """Return the CPU time that it takes at the second time, in milliseconds."""
    work()
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1000


if __name__ == "__main__":
    main()
