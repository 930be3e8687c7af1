"""One job of six model calls through the Runner, beside the same graph on SqliteSaver: `python -m bench.runner`.

Both store on SQLite with `synchronous=FULL`; models answer at once. The peer has neither runs nor a ledger that is
stored. Commits and statements are counted by SQLAlchemy, CPU is that of the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import click
from sqlalchemy import Engine, event

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from bench.measuring.savers import stock_sqlite
from bench.teams.guarded import guarded_graph
from bench.teams.team import REPORT, TASK
from guardgraph.runs import Runner

_CPU, _WALL, _COMMITS, _STATEMENTS = "CPU ms a job", "wall ms a job", "commits a job", "statements a job"
_OURS, _PEER = "Runner, SQLite FULL", "the same graph on SqliteSaver, FULL"


class Counts:
    """What an engine has done."""

    def __init__(self, engine: Engine) -> None:
        self.commits = self.statements = 0
        event.listen(engine, "commit", self._commit)
        event.listen(engine, "before_cursor_execute", self._execute)

    def _commit(self, _connection: Any) -> None:
        self.commits += 1

    def _execute(self, *_: Any) -> None:
        self.statements += 1


@click.command(help=__doc__)
@click.option("--jobs", type=click.IntRange(min=1), default=10, show_default=True, help="Jobs in one measurement.")
@common_options(rounds=7)
def main(jobs: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        runner = stack.enter_context(Runner(f"sqlite:///{folder / 'runs.db'}", graphs={"team": guarded_graph()}))
        counts = Counts(runner.saver.engine)
        stock = guarded_graph().compile(checkpointer=stock_sqlite(stack, folder, "FULL"))

        def ours() -> str:
            outcome = runner.run("team", TASK).outcome
            return "" if outcome is None else str(outcome.value)

        def peer() -> str:
            config: Any = {"configurable": {"thread_id": uuid4().hex}}
            return stock.invoke({"task": TASK}, config, durability="sync")["outcome"].value

        contestants = [_contestant(_OURS, ours, jobs, counts), _contestant(_PEER, peer, jobs, None)]
        comparisons = [Comparison(_OURS, _PEER, _CPU, at_most=1.5), Comparison(_OURS, _PEER, _WALL)]
        title = f"One job of a planner and three workers, {jobs} jobs a measurement"
        show(
            [Report(title, compete(contestants, rounds=rounds), comparisons, [])],
            versions=("guardgraph", "langgraph", "langgraph-checkpoint-sqlite", "sqlalchemy"),
            as_json=as_json,
        )


def _contestant(name: str, work: Callable[[], str], jobs: int, counts: Counts | None) -> Contestant:
    def measure() -> Mapping[str, float]:
        before = (counts.commits, counts.statements) if counts else (0, 0)
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(jobs):
            if work() != REPORT:
                raise RuntimeError(f"{name} did not end in the report")
        found = {
            _CPU: (time.process_time() - cpu) / jobs * 1000,
            _WALL: (time.perf_counter() - wall) / jobs * 1000,
        }
        if counts is not None:
            found |= {
                _COMMITS: (counts.commits - before[0]) / jobs,
                _STATEMENTS: (counts.statements - before[1]) / jobs,
            }
        return found

    return Contestant(name, measure)


if __name__ == "__main__":
    main()
