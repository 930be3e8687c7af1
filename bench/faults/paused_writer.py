"""Whether a process that was paused can still write: `python -m bench.faults.paused_writer --trials 200`.

In each trial a process is stopped while it works on a thread; when its lease has run out another one finishes the run;
then the first one goes on.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import click
from sqlalchemy import event, func, select

from bench.faults.databases import database_option, opened
from bench.faults.team import Effects, build
from bench.faults.worker import Worker
from guardgraph.runs import Runner
from guardgraph.state import StorageBusy, ThreadBusy
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.tables import accounts, checkpoints, entries, runs, writes

__all__ = ("LEASE", "impatient", "trial")

LEASE = 0.6
"""Seconds after which a process that is paused loses its lease."""
_STEPS = 12


def impatient(runner: Runner) -> Runner:
    """Let a runner on PostgreSQL wait two seconds at most for the lock of a paused process."""
    if runner.saver.engine.dialect.name == "postgresql":

        def prepare(connection: Any, _record: object) -> None:
            connection.execute("SET lock_timeout = 2000")
            connection.commit()

        event.listen(runner.saver.engine, "connect", prepare)
    return runner


def trial(runner: Runner, effects: Effects, worker: Worker, moment: float) -> str:
    """Pause a worker, take over, let it go on; return what that did, or why there was no take-over."""
    thread = uuid4().hex
    worker.begin("run", thread, {"steps": _STEPS})
    while not any(line.startswith(thread) for line in effects.read()):
        time.sleep(0.002)
    time.sleep(moment)
    worker.pause()
    try:
        taken = _finished(runner, thread)
        before = _stored(runner, thread)
    finally:
        worker.go_on()
    result = worker.result()["result"]
    if not taken:
        return "paused in a transaction, or done"
    return result if _stored(runner, thread) == before else f"{result}, but it has written"


def _finished(runner: Runner, thread_id: str) -> bool:
    """Go on with a thread once its lease has run out; `False` where it had ended or is locked."""
    until = time.monotonic() + 20
    while runner.status(thread_id).status == "running" and time.monotonic() < until:
        time.sleep(0.05)
    if runner.status(thread_id).status != "crashed":
        return False
    try:
        return runner.resume(thread_id).status == "completed"
    except (StorageBusy, ThreadBusy):
        return False


def _stored(runner: Runner, thread_id: str) -> list[Any]:
    """Return how many rows there are, and how the run has ended."""
    with read_transaction(runner.saver.engine) as connection:
        tables = (checkpoints, writes, accounts, entries)
        counts = [connection.execute(select(func.count()).select_from(table)).scalar() for table in tables]
        mine = connection.execute(select(runs).where(runs.c.thread_id == thread_id)).all()
    return [counts, mine]


@click.command(help=__doc__)
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--seed", default=0, show_default=True)
@database_option
def main(trials: int, seed: int, database: str) -> None:
    chance, found = random.Random(seed), Counter[str]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url, log = stack.enter_context(opened(database, folder)), folder / "effects"
        runner, effects = stack.enter_context(Runner(url, graphs={"steps": build(log)})), Effects(log)
        impatient(runner).list_runs(1)
        worker = stack.enter_context(Worker(url, log, lease_seconds=LEASE))
        while sum(found[name] for name in found if not name.startswith("paused")) < trials:
            effects.file.write_text("")
            found[trial(runner, effects, worker, chance.uniform(0, 0.4))] += 1
    click.echo(f"{database}: {dict(found)}")


if __name__ == "__main__":
    main()
