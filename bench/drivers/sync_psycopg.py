"""A sync connection in one thread, with group commits in psycopg's pipeline mode: no single answer is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any

from bench.drivers.driver import LoopGroupCommit, Store
from bench.drivers.statements import POSTGRES, Call
from bench.measuring.peers import peer

__all__ = ("sync_psycopg_pipeline",)


@asynccontextmanager
async def sync_psycopg_pipeline(url: str) -> AsyncGenerator[Store]:
    """Store what is submitted at the same moment in one transaction, whose statements are sent without waiting."""
    package = peer("psycopg", distribution="psycopg")
    with ExitStack() as stack:
        connection = stack.enter_context(package.connect(url))
        for statement in (*POSTGRES.tables, *POSTGRES.clear):
            connection.execute(statement)
        connection.commit()
        thread = stack.enter_context(ThreadPoolExecutor(1))
        run = partial(asyncio.get_running_loop().run_in_executor, thread)
        yield LoopGroupCommit(lambda calls: run(_commit, connection, calls)).store


def _commit(connection: Any, calls: Sequence[Call]) -> None:
    with connection.pipeline():
        checked: list[Any] = []
        for call in calls:
            (check, lease), *inserts = POSTGRES.of(call)
            checked.append(connection.execute(check, lease))
            for statement, values in inserts:
                connection.execute(statement, values)
        if any(cursor.fetchone() != (1,) for cursor in checked):
            raise RuntimeError("the lease is lost")
        connection.commit()
