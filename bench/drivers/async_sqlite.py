"""Aiosqlite, which gives each statement to a thread: a transaction a call, and group commits in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from bench.drivers.driver import LoopGroupCommit, Open, Store
from bench.drivers.statements import SQLITE, Call
from bench.measuring.peers import peer

__all__ = ("aiosqlite_connection",)


def aiosqlite_connection(*, groups: bool) -> Open:
    """Return one connection, whose calls are committed one by one, or in `groups`."""

    @asynccontextmanager
    async def opened(url: str) -> AsyncGenerator[Store]:
        package, lock = peer("aiosqlite", distribution="aiosqlite"), asyncio.Lock()
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(
                package.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            )
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", *SQLITE.tables, *SQLITE.clear):
                await connection.execute(statement)

            async def store(call: Call) -> None:
                async with lock:
                    await _commit(connection, [call])

            yield LoopGroupCommit(partial(_commit, connection)).store if groups else store

    return opened


async def _commit(connection: Any, calls: Sequence[Call]) -> None:
    await connection.execute("BEGIN IMMEDIATE")
    for call in calls:
        (check, lease), *inserts = SQLITE.of(call)
        found = await connection.execute(check, lease)
        if await found.fetchone() != (1,):
            raise RuntimeError("the lease is lost")
        for statement, values in inserts:
            await connection.execute(statement, values)
    await connection.commit()
