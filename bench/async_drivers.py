"""Small transactions for many coroutines, by sync and by async drivers: `python -m bench.async_drivers`.

Each call checks a lease and stores one row of a checkpoint and one of writes, 600 bytes, and is done once that is
committed. `SQLSaver` writes by a sync driver, and one thread commits for all coroutines what they submit at the same
moment. CPU is that of this process. The longest block of the event loop is how late a sleep of 2 ms ends at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from bench.drivers.async_psycopg import async_psycopg_group_commit, async_psycopg_pool
from bench.drivers.async_sqlalchemy import async_engine
from bench.drivers.async_sqlite import aiosqlite_connection
from bench.drivers.driver import Open, Store
from bench.drivers.statements import POSTGRES, SQLITE, Call, calls
from bench.drivers.sync_driver import sync_group_commit
from bench.drivers.sync_psycopg import sync_psycopg_pipeline
from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.peers import Missing
from bench.measuring.postgres import new_database
from bench.measuring.report import Report, show

_CALLS, _CPU, _BLOCK = "calls/s", "CPU us a call", "longest block ms"
_OURS = "sync, group commit in a thread"
_PEERS: Mapping[str, Mapping[str, Open]] = {
    "SQLite FULL": {
        _OURS: sync_group_commit(SQLITE),
        "aiosqlite, a transaction a call": aiosqlite_connection(groups=False),
        "aiosqlite, group commit": aiosqlite_connection(groups=True),
        "SQLAlchemy async, a transaction a call": async_engine(SQLITE, "sqlite", "sqlite+aiosqlite"),
    },
    "PostgreSQL": {
        _OURS: sync_group_commit(POSTGRES),
        "sync, group commit in a thread, pipeline": sync_psycopg_pipeline,
        "psycopg async, a transaction a call": async_psycopg_pool,
        "psycopg async, group commit": async_psycopg_group_commit(pipeline=False),
        "psycopg async, group commit, pipeline": async_psycopg_group_commit(pipeline=True),
        "SQLAlchemy async, a transaction a call": async_engine(POSTGRES, "postgresql", "postgresql+psycopg_async"),
    },
}
_COROUTINES = (1, 8, 100)
_TICK = 0.002
_WARM = 20


@click.command(help=__doc__)
@click.option(
    "--calls", "count", type=click.IntRange(min=100), default=1000, show_default=True, help="Of all together."
)
@common_options(rounds=5)
def main(count: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    reports: list[Report] = []
    with ExitStack() as stack:
        for database, peers in _PEERS.items():
            missing: list[str] = []
            working: dict[str, tuple[Open, str]] = {}
            for name, opens in peers.items():
                try:
                    url = _new_url(stack, database)
                    asyncio.run(_measured(opens, url, 1, _WARM))
                    working[name] = opens, url
                except Missing as reason:
                    missing.append(f"{database}, {name}: {reason}")
            reports += (_contest(database, working, missing, at_once, count, rounds) for at_once in _COROUTINES)
    show(
        reports,
        versions=("guardgraph", "sqlalchemy", "psycopg", "psycopg-pool", "aiosqlite", "greenlet"),
        as_json=as_json,
    )


def _new_url(stack: ExitStack, database: str) -> str:
    if database == "PostgreSQL":
        return stack.enter_context(new_database())
    return f"sqlite:///{Path(stack.enter_context(TemporaryDirectory())) / 'calls.db'}"


def _contest(
    database: str, working: Mapping[str, tuple[Open, str]], missing: list[str], at_once: int, count: int, rounds: int
) -> Report:
    count = count if at_once > 1 else count // 4

    def contestant(name: str, opens: Open, url: str) -> Contestant:
        return Contestant(name, lambda: asyncio.run(_measured(opens, url, at_once, count)))

    figures = compete([contestant(name, *opened) for name, opened in working.items()], rounds=rounds)
    compared = [Comparison(_OURS, name, _CPU) for name in working if name != _OURS]
    return Report(f"{database}: {count} calls of {at_once} coroutines", figures, compared, missing)


async def _measured(opens: Open, url: str, at_once: int, count: int) -> Mapping[str, float]:
    async with opens(url) as store:
        given = calls()
        await asyncio.gather(*(_stored(store, given, _WARM // min(at_once, _WARM)) for _ in range(at_once)))
        ended, late = asyncio.Event(), [0.0]
        watch = asyncio.create_task(_watched(ended, late))
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(_stored(store, given, count // at_once) for _ in range(at_once)))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        ended.set()
        await watch
    return {_CALLS: count / wall, _CPU: cpu / count * 1e6, _BLOCK: max(late) * 1000}


async def _stored(store: Store, given: Iterator[Call], count: int) -> None:
    for _ in range(count):
        await store(next(given))


async def _watched(ended: asyncio.Event, late: list[float]) -> None:
    while not ended.is_set():
        began = time.perf_counter()
        await asyncio.sleep(_TICK)
        late.append(time.perf_counter() - began - _TICK)


if __name__ == "__main__":
    main()
