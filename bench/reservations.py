"""How long a reservation takes while 16 workers spend from one run: `python -m bench.reservations`.

Each worker reserves for a model call and settles it, again and again, in a thread of its own, in the ledger that a
`Runner` uses. A reservation is durable before its call begins: SQLite at `synchronous=FULL`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from uuid import uuid4

import click

from bench.measuring.contest import Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.peers import Missing
from bench.measuring.postgres import new_database
from bench.measuring.report import Report, show
from guardgraph.state import Allowance, Amount, Usage
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.ledger.run_ledger import RunLedger


@click.command(help=__doc__)
@click.option("--workers", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--calls", type=click.IntRange(min=1), default=50, show_default=True, help="Of each worker.")
@common_options(rounds=5)
def main(workers: int, calls: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    contestants: list[Contestant] = []
    missing: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        contestants.append(_contestant(stack, "SQLite FULL", f"sqlite:///{folder / 'runs.db'}", workers, calls))
        try:
            contestants.append(_contestant(stack, "PostgreSQL", stack.enter_context(new_database()), workers, calls))
        except Missing as reason:
            missing.append(f"PostgreSQL: {reason}")
        figures = compete(contestants, rounds=rounds)
    title = f"{workers} workers reserve at once, {calls} times each; the goal is a median of 15 ms on SQLite"
    show([Report(title, figures, [], missing)], versions=("guardgraph", "sqlalchemy"), as_json=as_json)


def _contestant(stack: ExitStack, name: str, url: str, workers: int, calls: int) -> Contestant:
    engine = stack.enter_context(SQLSaver.from_url(url)).engine

    def measure() -> Mapping[str, float]:
        run_id = uuid4().hex
        ledger = RunLedger(engine, run_id, tenant="", is_new=True)
        ledger.open(run_id, Allowance(calls=workers * calls))

        def work(worker: int) -> list[float]:
            account, took = f"{run_id}/worker{worker}", list[float]()
            epoch = ledger.open(account, Allowance())
            for number in range(calls):
                entry, begun = f"{account}#{number}", time.perf_counter()
                denied = ledger.reserve(entry, account, epoch, Amount(calls=1))
                took.append((time.perf_counter() - begun) * 1000)
                if denied is not None:
                    raise RuntimeError(f"{entry} was denied: {denied}")
                ledger.settle(entry, Usage(calls=1))
            return took

        with ThreadPoolExecutor(workers) as pool:
            took = [one for some in pool.map(work, range(workers)) for one in some]
        ledger.store()
        return {"ms median": median(took), "ms 99 %": quantiles(took, n=100)[98]}

    return Contestant(name, measure)


if __name__ == "__main__":
    main()
