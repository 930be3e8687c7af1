"""Many writers of one board: `python -m bench.faults.board --writers 32 --processes 3`.

Each writer adds 1 to one of a few counters, again and again: it reads the entry, and writes the next value with the
version that it has read; after a conflict it begins anew. Then the counters are compared with the writes that were
reported as done. With `--kills` each process is killed so often, at random moments, and its writers begin again as the
same attempts: what they had written is not written twice.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TextIO

import click

from bench.faults.databases import database_option, opened
from bench.faults.forked import Forked, end_in
from guardgraph.runtime.boards.user import BoardUser
from guardgraph.runtime.boards.view import BoardView
from guardgraph.state import BoardConflict
from guardgraph.storage.boards import BoardPlace
from guardgraph.storage.sql.boards import SQLBoards
from guardgraph.storage.sql.engine import close_engine, engine_of
from guardgraph.storage.sql.migrate import migrate

_PLACE = BoardPlace("faults", "counters")
_PATIENCE = 10_000


@dataclass
class Report:
    """What was counted; the last four are to be zero."""

    database: str
    writers: int
    processes: int
    seconds: float
    writes: int
    """Reported as done."""
    conflicts: int
    """Raised as `BoardConflict`, with the entry that was there."""
    kills: int
    untyped: int
    """Other errors, and conflicts without an entry."""
    lost: int
    """Reported, and not in the counters."""
    repeated: int
    """In the counters, and not reported."""
    gaps: int
    """Versions and numbers that are missing."""


def add_one(board: BoardView, key: str, counted: Counter[str]) -> None:
    """Add 1 to a counter, however often others are faster."""
    for _ in range(_PATIENCE):
        found = board.get(key)
        value: Any = 0 if found is None else found.value
        try:
            board.put(key, value + 1, expect=0 if found is None else found.version)
        except BoardConflict as error:
            counted["conflicts" if error.current is not None else "untyped"] += 1
        else:
            return
    raise TimeoutError(f"{key} was never won")


def write(board: BoardView, writer: int, *, rounds: int, keys: int, again: bool) -> dict[str, Any]:
    """Make the writes of one writer, and return what has happened; with `again` it may have made some before."""
    counted, errors = Counter[str](), list[str]()
    for number in range(rounds):
        key = f"counter {(writer + number) % keys}"
        try:
            if again:
                board.update(key, lambda value: (value or 0) + 1, tries=_PATIENCE)
            else:
                add_one(board, key, counted)
        except Exception as error:
            counted["untyped"] += 1
            errors.append(repr(error))
        else:
            counted["writes"] += 1
    return {**counted, "errors": errors}


def work(url: str, writers: Sequence[int], seconds: float | None, lines: TextIO, **given: Any) -> None:
    """Let writers work at once in this process, which ends after so many seconds where some are given."""
    store = SQLBoards(engine_of(url), tenant="")
    users = [BoardUser(_PLACE.name, f"writer {writer}", attempt=f"run/{writer}") for writer in writers]
    print("begun", file=lines)
    if seconds is not None:
        end_in(seconds)
    with ThreadPoolExecutor(len(writers)) as pool:
        made = [
            pool.submit(write, BoardView(store, _PLACE, user), writer, **given)
            for user, writer in zip(users, writers, strict=True)
        ]
        for one in made:
            print(json.dumps(one.result()), file=lines)


def trial(url: str, writers: int, processes: int, kills: int, chance: Random, **given: Any) -> Counter[str]:
    """Let all writers write to their end, and return what they have reported."""
    counted = Counter[str]()
    with Forked(lambda _: migrate(engine_of(url))) as child:  # a kill among the tables of MariaDB is another fault
        child.wait()
    for left in reversed(range(kills + 1)):
        with ExitStack() as stack:
            children = list[Forked]()
            for number in range(processes):
                seconds = chance.uniform(0.05, 1.5) if left else None
                group, facts = range(number, writers, processes), {"again": kills > 0, **given}
                begin = partial(work, url, group, seconds, **facts)
                children.append(stack.enter_context(Forked(begin)))
            for child in children:
                found = [*child]
                counted["kills"] += child.killed()
                if not left:
                    counted += _counted(found[1:])
    return counted


def _counted(lines: Sequence[str]) -> Counter[str]:
    """Return what the writers of a process have reported; errors are printed."""
    counted = Counter[str]()
    for line in lines:
        found = json.loads(line)
        for error in found.pop("errors"):
            click.echo(error, err=True)
        counted.update(found)
    return counted


def report(url: str, counted: Counter[str], **facts: Any) -> Report:
    """Compare what was reported with what is on the board."""
    engine = engine_of(url)
    changes = SQLBoards(engine, tenant="").changes(_PLACE, 0)
    close_engine(engine)
    last: dict[str, Any] = {}
    gaps = sum(entry.number != number for number, entry in enumerate(changes, 1))
    for entry in changes:
        before = last.get(entry.key)
        gaps += entry.version != (0 if before is None else before.version) + 1
        last[entry.key] = entry
    total = sum(entry.value for entry in last.values())
    difference = total - counted["writes"]
    return Report(
        **facts,
        writes=counted["writes"],
        conflicts=counted["conflicts"],
        kills=counted["kills"],
        untyped=counted["untyped"],
        lost=max(-difference, 0),
        repeated=max(difference, 0),
        gaps=gaps,
    )


@click.command(help=__doc__)
@click.option("--writers", default=32, show_default=True)
@click.option("--processes", default=3, show_default=True)
@click.option("--rounds", default=20, show_default=True, help="Writes of each writer.")
@click.option("--keys", default=4, show_default=True, help="Counters.")
@click.option("--kills", default=0, show_default=True, help="How often each process is killed.")
@click.option("--url", default="", help="A database; a new one by default.")
@click.option("--seed", default=0, show_default=True, help="Of the moments of the kills.")
@database_option
def main(writers: int, processes: int, rounds: int, keys: int, kills: int, url: str, seed: int, database: str) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = url or stack.enter_context(opened(database, folder))
        began = time.monotonic()
        counted = trial(address, writers, processes, kills, Random(seed), rounds=rounds, keys=keys)
        seconds = round(time.monotonic() - began, 1)
        kind = address.partition(":")[0]
        made = report(address, counted, database=kind, writers=writers, processes=processes, seconds=seconds)
    click.echo(json.dumps(asdict(made)))
    is_whole = made.writes == writers * rounds and not (made.lost or made.repeated or made.untyped or made.gaps)
    sys.exit(0 if is_whole else 1)


if __name__ == "__main__":
    main()
