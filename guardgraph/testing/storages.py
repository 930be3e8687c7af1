"""Where a run can be kept while it is tried out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from guardgraph.storage.sql.checkpoints.saver import SQLSaver

__all__ = ("Place", "Storage", "storages")


@dataclass(frozen=True, slots=True)
class Place:
    """An opened storage."""

    saver: Any = None
    store: Any = None
    url: str | None = None
    """The database, where the saver is ours."""


@dataclass(frozen=True, slots=True)
class Storage:
    """One kind of storage: a checkpointer, a store, both or none."""

    name: str
    open: Callable[[], Any]
    """Returns a context manager that gives a `Place`."""
    aopen: Callable[[], Any]
    """Returns an async one."""
    keeps_threads: bool = True
    serves_runner: bool = False


def storages(folder: Path, *, postgres: str | None = None) -> tuple[Storage, ...]:
    """Return every storage that is possible here, with its files in `folder`; stock SQLite needs its own package."""
    found = [
        _simple("no saver", Place, keeps_threads=False),
        _simple("InMemorySaver", lambda: Place(InMemorySaver())),
        _simple("InMemorySaver and store", lambda: Place(InMemorySaver(), InMemoryStore())),
    ]
    if find_spec("aiosqlite") and find_spec("langgraph.checkpoint.sqlite"):
        file = str(folder / "stock.db")
        found.append(Storage("SqliteSaver", partial(_stock, file), partial(_astock, file)))
    urls = {"SQLSaver on SQLite": f"sqlite:///{folder / 'own.db'}"}
    if postgres is not None:
        urls["SQLSaver on PostgreSQL"] = postgres
    found.extend(
        Storage(name, partial(_own, url), partial(_aown, url), serves_runner=True) for name, url in urls.items()
    )
    return tuple(found)


def _simple(name: str, make: Callable[[], Place], *, keeps_threads: bool = True) -> Storage:
    @contextmanager
    def opened() -> Generator[Place]:
        yield make()

    @asynccontextmanager
    async def aopened() -> AsyncGenerator[Place]:
        yield make()

    return Storage(name, opened, aopened, keeps_threads=keeps_threads)


@contextmanager
def _own(url: str) -> Generator[Place]:
    with SQLSaver.from_url(url) as saver:
        yield Place(saver, url=url)


@asynccontextmanager
async def _aown(url: str) -> AsyncGenerator[Place]:
    async with SQLSaver.from_url(url) as saver:
        yield Place(saver, url=url)


@contextmanager
def _stock(file: str) -> Generator[Place]:
    from langgraph.checkpoint.sqlite import SqliteSaver

    with SqliteSaver.from_conn_string(file) as saver:
        yield Place(saver)


@asynccontextmanager
async def _astock(file: str) -> AsyncGenerator[Place]:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    async with AsyncSqliteSaver.from_conn_string(file) as saver:
        yield Place(saver)
