"""Psycopg's own async connections: a transaction a call from a pool, and group commits in the event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from bench.drivers.driver import LoopGroupCommit, Open, Store
from bench.drivers.statements import POSTGRES, Call
from bench.measuring.peers import peer

__all__ = ("POOL", "async_psycopg_group_commit", "async_psycopg_pool")

POOL = 15
"""Connections at once, as SQLAlchemy has them by default."""


@asynccontextmanager
async def async_psycopg_pool(url: str) -> AsyncGenerator[Store]:
    """Take a connection from a pool for each call, and commit that call alone."""
    package = peer("psycopg_pool", distribution="psycopg-pool")
    async with package.AsyncConnectionPool(url, min_size=1, max_size=POOL, open=False) as pool:
        async with pool.connection() as connection:
            await _prepare(connection)

        async def store(call: Call) -> None:
            async with pool.connection() as connection:  # commits at its end
                await _store(connection, [call])

        yield store


def async_psycopg_group_commit(*, pipeline: bool) -> Open:
    """Return one connection with group commits in the event loop; a `pipeline` waits for no single answer."""

    @asynccontextmanager
    async def opened(url: str) -> AsyncGenerator[Store]:
        package = peer("psycopg", distribution="psycopg")
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(await package.AsyncConnection.connect(url))
            await _prepare(connection)
            yield LoopGroupCommit(partial(_commit, connection, pipeline=pipeline)).store

    return opened


async def _prepare(connection: Any) -> None:
    for statement in (*POSTGRES.tables, *POSTGRES.clear):
        await connection.execute(statement)
    await connection.commit()


async def _commit(connection: Any, calls: Sequence[Call], *, pipeline: bool) -> None:
    async with connection.pipeline() if pipeline else nullcontext():
        await _store(connection, calls)
        await connection.commit()


async def _store(connection: Any, calls: Sequence[Call]) -> None:
    checked: list[Any] = []
    for call in calls:
        (check, lease), *inserts = POSTGRES.of(call)
        checked.append(await connection.execute(check, lease))
        for statement, values in inserts:
            await connection.execute(statement, values)
    for cursor in checked:
        if await cursor.fetchone() != (1,):
            raise RuntimeError("the lease is lost")
