"""Our way: a sync driver, and one thread that commits for all coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy import Connection

from bench.drivers.driver import Open, Store
from bench.drivers.statements import Call, Statements
from guardgraph.storage.sql.engine import close_engine, engine_of, write_transaction
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.migrate import migrate

__all__ = ("sync_group_commit",)


def sync_group_commit(statements: Statements) -> Open:
    """Return the way of `SQLSaver`."""

    @asynccontextmanager
    async def opened(url: str) -> AsyncGenerator[Store]:
        engine = migrate(engine_of(url))
        with write_transaction(engine) as connection:
            for statement in (*statements.tables, *statements.clear):
                connection.exec_driver_sql(statement)
        commits = group_commit_of(engine)

        async def store(call: Call) -> None:
            def work(connection: Connection) -> None:
                (check, lease), *inserts = statements.of(call)
                if connection.exec_driver_sql(check, lease).first() != (1,):
                    raise RuntimeError("the lease is lost")
                for statement, values in inserts:
                    connection.exec_driver_sql(statement, values)

            await asyncio.shield(asyncio.wrap_future(commits.submit(work)))

        try:
            yield store
        finally:
            close_engine(engine)

    return opened
