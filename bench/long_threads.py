"""Size and cost of a long thread, with SQLSaver and with LangGraph's SqliteSaver: `python -m bench.long_threads`.

Each superstep adds a message of 1 KB that does not compress to a list under `add_messages`. Sizes are those of the
database file after its log was written back; bytes written are those of the process, as the kernel counts them.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import click

from bench.checkpoints import thread_graph
from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.peers import Missing
from bench.measuring.report import Report, show
from bench.measuring.savers import our_sqlite, stock_sqlite

_OURS, _PEER = "SQLSaver, SQLite FULL", "SqliteSaver, FULL"
_SIZE, _GROWTH, _WRITTEN = "MB stored", "times the store of a tenth", "MB written"
_TIME, _FIRST, _LAST = "s a thread", "CPU ms a step, first 10", "CPU ms a step, last 10"
_RESUME, _HISTORY = "CPU ms get_tuple", "CPU ms history of 20"
_GOALS = {_SIZE: 1 / 200, _WRITTEN: 1 / 30, _TIME: 1 / 4, _RESUME: 1.0, _HISTORY: 1 / 10}
_VERSIONS = ("guardgraph", "langgraph", "langgraph-checkpoint-sqlite", "sqlalchemy")


@click.command(help=__doc__)
@click.option("--steps", type=click.IntRange(min=100), default=1000, show_default=True, help="Supersteps of a thread.")
@click.option("--ours-only", is_flag=True, help="Leave out SqliteSaver, which takes most of the time.")
@common_options(rounds=3)
def main(steps: int, ours_only: bool, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes them by name
    opened = {_OURS: our_sqlite, _PEER: stock_sqlite}
    contestants: list[Contestant] = []
    missing: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        for name, make in opened.items():
            if name == _PEER and ours_only:
                continue
            try:
                make(stack, folder, "FULL")
                contestants.append(Contestant(name, _measure(make, steps)))
            except Missing as reason:
                missing.append(f"{name}: {reason}")
        figures = compete(contestants, rounds=rounds)
    compared = [Comparison(_OURS, _PEER, quantity, at_most=goal) for quantity, goal in _GOALS.items()]
    title = f"A thread of {steps} supersteps, each adds a message of 1 KB to a list"
    show([Report(title, figures, compared, missing)], versions=_VERSIONS, as_json=as_json)


def _measure(make: Callable[..., Any], steps: int) -> Callable[[], Mapping[str, float]]:
    def measure() -> Mapping[str, float]:
        with TemporaryDirectory() as small, TemporaryDirectory() as large:
            tenth = _thread(make, Path(small), steps // 10)[_SIZE]
            found = _thread(make, Path(large), steps)
        return {**found, _GROWTH: found[_SIZE] / tenth}

    return measure


def _thread(make: Callable[..., Any], folder: Path, steps: int) -> dict[str, float]:
    """Run one thread on a new database, read it, and return its figures."""
    config: Any = {"configurable": {"thread_id": uuid4().hex}, "recursion_limit": steps + 2}
    marks: list[float] = []
    graph = thread_graph(steps, says=random.Random(1), at_each=lambda: marks.append(time.process_time()))
    with ExitStack() as stack:
        saver = make(stack, folder, "FULL")
        kept, written, begun = graph.compile(checkpointer=saver), _written(), time.perf_counter()
        kept.invoke({"step": 0}, config, durability="sync")
        seconds, written = time.perf_counter() - begun, _written() - written
        figures = {
            _TIME: seconds,
            _WRITTEN: written / 1e6,
            _FIRST: (marks[10] - marks[0]) * 100,
            _LAST: (marks[-1] - marks[-11]) * 100,
            _RESUME: _cpu(lambda: saver.get_tuple(config)),
            _HISTORY: _cpu(lambda: list(saver.list(config, limit=20))),
        }
    return {_SIZE: _size(folder), **figures}


def _size(folder: Path) -> float:
    (path,) = folder.glob("*.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size / 1e6


def _written() -> int:
    """Return how many bytes this process has written so far; 0 where the system does not tell."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    return next(int(line.split()[1]) for line in counters.read_text().splitlines() if line.startswith("write_bytes"))


def _cpu(work: Callable[[], Any]) -> float:
    """Return the CPU time that it takes at the second time, in milliseconds."""
    work()
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1000


if __name__ == "__main__":
    main()
