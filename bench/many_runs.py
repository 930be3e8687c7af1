"""Many runs at once in one process, beside the same graph on LangGraph's async savers: `python -m bench.many_runs`.

Each run is a planner, three workers with models that answer at once, and a writer, and begins at the same moment as all
others. Everything is durable (`synchronous=FULL`, `durability="sync"`). The peer has the same guards, but neither runs
nor leases nor a ledger that is stored. CPU is that of the process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import click
from sqlalchemy import event

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.fake_model import FakeModel, Line
from bench.measuring.options import common_options
from bench.measuring.peers import Missing, peer
from bench.measuring.postgres import new_database
from bench.measuring.report import Report, show
from bench.teams.team import FOUND, REPORT, TASK, WORKERS
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import Runner
from guardgraph.state import Plan, Request, Subtask

_CPU, _WALL, _COMMITS = "CPU ms a run", "wall ms a run", "commits a run"
_PAIRS = {
    "Runner, SQLite FULL": "AsyncSqliteSaver, FULL",
    "Runner, PostgreSQL": "AsyncPostgresSaver",
}
_VERSIONS = ("guardgraph", "langgraph", "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres", "aiosqlite")
_Opened = tuple[Callable[[], Awaitable[object]], Callable[[], int] | None]
"""What does one run, and how many commits there were so far, where that is counted."""


@click.command(help=__doc__)
@click.option("--runs", type=click.IntRange(min=1), default=100, show_default=True, help="Runs at once.")
@common_options(rounds=5)
def main(runs: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    opened = {
        "Runner, SQLite FULL": _runner_on_sqlite,
        "AsyncSqliteSaver, FULL": _stock_sqlite,
        "Runner, PostgreSQL": _runner_on_postgres,
        "AsyncPostgresSaver": _stock_postgres,
    }
    contestants: list[Contestant] = []
    missing: list[str] = []
    for name, open_ in opened.items():
        try:
            asyncio.run(_measured(open_, 1))
            contestants.append(Contestant(name, lambda open_=open_: asyncio.run(_measured(open_, runs))))
        except Missing as reason:
            missing.append(f"{name}: {reason}")
    names = {one.name for one in contestants}
    comparisons = [
        Comparison(ours, theirs, quantity, at_most=1.5 if quantity == _CPU else None)
        for ours, theirs in _PAIRS.items()
        for quantity in (_CPU, _WALL)
        if {ours, theirs} <= names
    ]
    title = f"{runs} runs at once: a planner, three workers with models, a writer"
    show(
        [Report(title, compete(contestants, rounds=rounds), comparisons, missing)], versions=_VERSIONS, as_json=as_json
    )


async def _measured(open_: Callable[..., Any], runs: int) -> Mapping[str, float]:
    async with open_() as (work, commits):
        await work()
        before = commits() if commits else 0
        cpu, wall = time.process_time(), time.perf_counter()
        ends = await asyncio.gather(*(work() for _ in range(runs)))
        figures = {
            _CPU: (time.process_time() - cpu) / runs * 1000,
            _WALL: (time.perf_counter() - wall) / runs * 1000,
        }
        if commits:
            figures[_COMMITS] = (commits() - before) / runs
    if ends != [REPORT] * runs:
        raise RuntimeError(f"{ends.count(REPORT)} of {runs} runs ended in the report")
    return figures


def _team() -> Any:
    def plan(request: Request) -> Plan:
        if request.context:
            return Plan()
        return Plan(subtasks=tuple(Subtask(id=name, goal=f"Compare {name}", skill=name) for name in WORKERS))

    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent(name, model=FakeModel(lines=[Line(FOUND)]), skills={name}) for name in WORKERS],
        synthesizer=Agent("writer", model=FakeModel(lines=[Line(REPORT)])),
    )


@asynccontextmanager
async def _runner(url: str) -> AsyncGenerator[_Opened]:
    with Runner(url, graphs={"team": _team()}) as runner:
        commits = 0

        def committed(_: object) -> None:
            nonlocal commits
            commits += 1

        event.listen(runner.saver.engine, "commit", committed)

        async def work() -> object:
            outcome = (await runner.arun("team", TASK)).outcome
            return outcome and outcome.value

        yield work, lambda: commits


@asynccontextmanager
async def _runner_on_sqlite() -> AsyncGenerator[_Opened]:
    with TemporaryDirectory() as folder:
        async with _runner(f"sqlite:///{Path(folder) / 'runs.db'}") as opened:
            yield opened


@asynccontextmanager
async def _runner_on_postgres() -> AsyncGenerator[_Opened]:
    with new_database() as url:
        async with _runner(url) as opened:
            yield opened


@asynccontextmanager
async def _stock(saver: Any) -> AsyncGenerator[_Opened]:
    graph = _team().compile(checkpointer=saver)

    async def work() -> object:
        config: Any = {"configurable": {"thread_id": uuid4().hex}}
        return (await graph.ainvoke({"task": TASK}, config, durability="sync"))["outcome"].value

    yield work, None


@asynccontextmanager
async def _stock_sqlite() -> AsyncGenerator[_Opened]:
    package = peer("langgraph.checkpoint.sqlite.aio", distribution="langgraph-checkpoint-sqlite")
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        saver = await stack.enter_async_context(
            package.AsyncSqliteSaver.from_conn_string(str(Path(folder) / "runs.db"))
        )
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous = FULL")
        yield await stack.enter_async_context(_stock(saver))


@asynccontextmanager
async def _stock_postgres() -> AsyncGenerator[_Opened]:
    package = peer("langgraph.checkpoint.postgres.aio", distribution="langgraph-checkpoint-postgres")
    async with AsyncExitStack() as stack:
        url = stack.enter_context(new_database())
        saver = await stack.enter_async_context(package.AsyncPostgresSaver.from_conn_string(url))
        await saver.setup()
        yield await stack.enter_async_context(_stock(saver))


if __name__ == "__main__":
    main()
