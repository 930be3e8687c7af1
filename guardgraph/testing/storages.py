"""The storages on which a graph can be run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from guardgraph.storage.sql.checkpoints.saver import SQLSaver

__all__ = ("Storage", "storages")


@dataclass(frozen=True, slots=True)
class Storage:
    """One kind of storage: a checkpointer, a store, both or none."""

    name: str
    open: Callable[[], AbstractContextManager[Any]]
    """Opens the checkpointer, for sync use; it is `None` where there is none."""
    aopen: Callable[[], AbstractAsyncContextManager[Any]]
    """Opens it for async use."""
    make_store: Callable[[], BaseStore] | None = None
    url: str | None = None
    """The database of a `SQLSaver`: the `Runner` can use it too."""
    keeps_threads: bool = True


def storages(folder: Path, *, postgres: str | None = None) -> tuple[Storage, ...]:
    """Return every storage that is possible here, with its files in `folder`; stock SQLite needs its own package."""
    found = [
        Storage("no saver", nullcontext, nullcontext, keeps_threads=False),
        Storage("InMemorySaver", _in_memory, _in_memory),
        Storage("InMemorySaver and store", _in_memory, _in_memory, make_store=InMemoryStore),
    ]
    if find_spec("aiosqlite") and find_spec("langgraph.checkpoint.sqlite"):
        from langgraph.checkpoint.sqlite import SqliteSaver
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        file = str(folder / "stock.db")
        opener = partial(_closed_while_idle, partial(SqliteSaver.from_conn_string, file))
        found.append(Storage("SqliteSaver", opener, partial(AsyncSqliteSaver.from_conn_string, file)))
    urls = {"SQLSaver on SQLite": f"sqlite:///{folder / 'own.db'}", "SQLSaver on PostgreSQL": postgres}
    for name, url in urls.items():
        if url is not None:
            found.append(Storage(name, partial(SQLSaver.from_url, url), partial(SQLSaver.from_url, url), url=url))
    return tuple(found)


@contextmanager
def _closed_while_idle(opener: Callable[[], AbstractContextManager[Any]]) -> Generator[Any]:
    """Give a `SqliteSaver`, and close its connection while nothing uses it.

    A nested graph that was abandoned may still write, and SQLite crashes where its connection is closed meanwhile.
    """
    with opener() as saver:
        try:
            yield saver
        finally:
            with saver.lock:
                saver.conn.close()


def _in_memory() -> nullcontext[InMemorySaver]:
    return nullcontext(InMemorySaver())
