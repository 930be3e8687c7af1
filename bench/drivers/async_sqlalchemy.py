"""SQLAlchemy's `AsyncEngine`, a transaction a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from sqlalchemy import event

from bench.drivers.async_psycopg import POOL
from bench.drivers.driver import Open, Store
from bench.drivers.statements import SQLITE, Call, Statements
from bench.measuring.peers import peer

__all__ = ("async_engine",)


def async_engine(statements: Statements, scheme: str, driver: str) -> Open:
    """Return an engine with the `driver` that SQLAlchemy has for URLs with `scheme`."""

    @asynccontextmanager
    async def opened(url: str) -> AsyncGenerator[Store]:
        peer("greenlet", distribution="greenlet")
        package = peer("sqlalchemy.ext.asyncio", distribution="sqlalchemy")
        engine = package.create_async_engine(url.replace(scheme, driver, 1), max_overflow=POOL - 5)
        turn: AbstractAsyncContextManager[Any] = nullcontext()
        if statements is SQLITE:  # which has one writer anyway, and whose own wait for it sleeps
            turn = asyncio.Lock()
            event.listen(engine.sync_engine, "connect", _durable)
        async with engine.begin() as connection:
            for statement in (*statements.tables, *statements.clear):
                await connection.exec_driver_sql(statement)

        async def store(call: Call) -> None:
            async with turn, engine.begin() as connection:
                (check, lease), *inserts = statements.of(call)
                if (await connection.exec_driver_sql(check, lease)).first() != (1,):
                    raise RuntimeError("the lease is lost")
                for statement, values in inserts:
                    await connection.exec_driver_sql(statement, values)

        try:
            yield store
        finally:
            await engine.dispose()

    return opened


def _durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()
