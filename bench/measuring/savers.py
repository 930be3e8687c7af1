"""The checkpointers of the checkpoint benchmark, each on a new database of its own."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.measuring.peers import peer
from bench.measuring.postgres import new_database
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.engine import Synchronous

__all__ = ("our_postgres", "our_sqlite", "stock_postgres", "stock_sqlite")


def our_sqlite(stack: ExitStack, folder: Path, synchronous: Synchronous, *, write_behind: float | None = None) -> Any:
    """Return ours on a SQLite file below `folder`; whatever is opened is closed with `stack`."""
    url = f"sqlite:///{_file(folder)}"
    return stack.enter_context(SQLSaver.from_url(url, synchronous=synchronous, write_behind=write_behind))


def stock_sqlite(stack: ExitStack, folder: Path, synchronous: Synchronous) -> Any:
    """Return LangGraph's on a SQLite file. Raises `Missing` where it is not installed."""
    package = peer("langgraph.checkpoint.sqlite", distribution="langgraph-checkpoint-sqlite")
    connection = stack.enter_context(closing(sqlite3.connect(_file(folder), check_same_thread=False)))
    saver = package.SqliteSaver(connection)
    saver.setup()
    connection.execute("PRAGMA synchronous = FULL" if synchronous == "FULL" else "PRAGMA synchronous = NORMAL")
    return saver


def our_postgres(stack: ExitStack, url: str | None = None) -> Any:
    """Return ours on a PostgreSQL database, a new one by default. Raises `Missing` without a server."""
    return stack.enter_context(SQLSaver.from_url(url or stack.enter_context(new_database())))


def stock_postgres(stack: ExitStack, url: str | None = None) -> Any:
    """Return LangGraph's on a PostgreSQL database. Raises `Missing` without the package or a server."""
    package = peer("langgraph.checkpoint.postgres", distribution="langgraph-checkpoint-postgres")
    saver = stack.enter_context(package.PostgresSaver.from_conn_string(url or stack.enter_context(new_database())))
    saver.setup()
    return saver


def _file(folder: Path) -> Path:
    return folder / f"{uuid4().hex}.db"
