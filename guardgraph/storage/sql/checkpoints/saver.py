"""A LangGraph checkpointer for SQL databases: one class, sync and async, SQLite and PostgreSQL."""

from __future__ import annotations

import copy
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, Literal, Self, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from sqlalchemy import Connection, Engine

from guardgraph.state import BadInput
from guardgraph.storage.sql.checkpoints.history import load_history
from guardgraph.storage.sql.checkpoints.lanes import Lanes
from guardgraph.storage.sql.checkpoints.loading import PAGE, Query, load_checkpoint, load_page, query_in
from guardgraph.storage.sql.checkpoints.retention import copy_thread, delete_runs, delete_thread, keep_latest
from guardgraph.storage.sql.checkpoints.storing import store_checkpoint, store_writes
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.schemas import named_types
from guardgraph.storage.sql.engine import (
    Synchronous,
    check_process,
    close_engine,
    engine_of,
    is_forked,
    read_transaction,
    write_transaction,
)
from guardgraph.storage.sql.errors import translate_errors
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id, config_at, place_in
from guardgraph.storage.sql.statements import checkpoint_row, value_rows, write_rows

__all__ = ("SQLSaver",)

T = TypeVar("T")
_Tuples = list[CheckpointTuple]  # inside the class `list` is the method
_STRIPES = 64
_FORK_BITS = 40


class SQLSaver(BaseCheckpointSaver[int]):
    """Keep the checkpoints of any LangGraph graph in a SQL database.

    Every method has its `a` twin, which runs in a worker thread and never blocks the event loop. The writes of one
    thread id happen one after the other, in the order in which they were handed over; each `put` is one transaction.
    The tables are created or upgraded at the first use. A saver does not survive a fork: open one in each process.

    Values are stored by `Codec`: what is not plain data, guardgraph's, LangChain's or LangGraph's must be registered
    with `types`. Thread, checkpoint, task and run ids are texts of at most 255 characters.
    """

    def __init__(self, engine: Engine | str, *, types: Sequence[type[Any]] = (), codec: Codec | None = None) -> None:
        """Use an engine that the caller owns and closes; `from_url` makes one of its own.

        Args:
            engine: a SQLAlchemy engine, or a database URL.
            types: classes that the state may hold; see `Codec`.
            codec: a codec to use instead of a new one.

        Raises:
            BadInput: the URL is none, or a type cannot be registered.
            StorageUnavailable: the folder of a SQLite file does not exist.
        """
        codec = (codec or Codec()).with_types(*types)
        super().__init__(serde=codec)
        self.codec = codec
        self.engine = engine_of(engine)
        self._owns_engine = isinstance(engine, str)
        self._lanes = Lanes()
        self._locks = tuple(RLock() for _ in range(_STRIPES))

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        types: Sequence[type[Any]] = (),
        busy_timeout: float = 5.0,
        synchronous: Synchronous = "FULL",
    ) -> Self:
        """Return a saver for a database URL, such as `sqlite:///runs.db` or `postgresql://user@host/name`.

        `busy_timeout` is in seconds; `synchronous` is for SQLite. See `engine_of` for both, and for what it raises.
        """
        saver = cls(engine_of(url, busy_timeout=busy_timeout, synchronous=synchronous), types=types)
        saver._owns_engine = True
        return saver

    def close(self) -> None:
        """Give up the worker threads, and the connections when this saver made its engine. It can still be used.

        In a forked process nothing is done: both belong to the parent.
        """
        if is_forked(self.engine):
            return
        self._lanes.close()
        if self._owns_engine:
            close_engine(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not is_forked(self.engine):
            await self._lanes.drain()
        self.close()

    def with_types(self, *types: type[Any]) -> Self:
        """Return a saver of the same database that also stores `types`; it shares everything else with this one."""
        clone = copy.copy(self)
        clone.codec = clone.serde = self.codec.with_types(*types)
        clone._owns_engine = False
        return clone

    def reading_plain(self, on_unknown: Callable[[str], None]) -> Self:
        """Return a saver of the same database that gives objects of unknown classes as dicts of their fields.

        It tells `on_unknown` the name of each such class, as `module:name`. It is for looking at what is stored: a
        graph that works needs the classes.
        """
        clone = copy.copy(self)
        clone.codec = clone.serde = self.codec.reading_plain(on_unknown)
        clone._owns_engine = False
        return clone

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Return a saver that also stores the classes that LangGraph found in a graph's schemas, by module and name."""
        return self.with_types(*named_types(extra_allowlist))

    def get_next_version(self, current: int | None, channel: None) -> int:
        """Return a version above `current`: a counter, and 40 random bits that tell the branches of a fork apart."""
        return ((current or 0) >> _FORK_BITS) + 1 << _FORK_BITS | secrets.randbits(_FORK_BITS)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that `config` names, or the newest of its thread and namespace, or None."""
        place = place_in(config)
        with self._reading(place.thread_id) as connection:
            return load_checkpoint(connection, self.codec, place)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Give checkpoints, newest first; `filter` compares metadata by equality, all keys must match.

        Without a config all threads are listed, without `checkpoint_ns` in it all namespaces of the thread.
        """
        for page in self._pages(query_in(config, filter=filter, before=before), limit):
            yield from page

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint and the values of its new channel versions, in one transaction; return its config.

        Raises:
            Unserializable: a value is of a type that is not stored; the message gives the path to it.
            StorageError: or a subclass, when the database refuses; nothing of the checkpoint is stored then.
        """
        place = place_in(config)
        with translate_errors(place.thread_id):
            row = checkpoint_row(self.codec, config, place, checkpoint, metadata)
            stored = value_rows(self.codec, place, checkpoint, new_versions)
        with self._writing(place.thread_id) as connection:
            store_checkpoint(connection, place, row, stored)
        return config_at(place.thread_id, place.namespace, row["checkpoint_id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote, before the checkpoint that will contain it.

        Storing the same write again keeps the first one; errors, interrupts and resume values are replaced.
        """
        place = place_in(config)
        if place.checkpoint_id is None:
            raise BadInput("the config of a write names no checkpoint; pass the config that `put` returned")
        with translate_errors(place.thread_id):
            keep, replace = write_rows(self.codec, place, writes, task_id=task_id, task_path=task_path)
        with self._writing(place.thread_id) as connection:
            store_writes(connection, place, keep=keep, replace=replace)

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that is stored of a thread; an unknown one is no error."""
        with self._writing(checked_id("thread_id", thread_id)) as connection:
            delete_thread(connection, thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints and writes of some runs, in all threads.

        A thread that goes on after a deleted run loses the history of its delta channels from before the next snapshot.
        """
        ids = [checked_id("run_id", run_id) for run_id in run_ids]
        with self._writing(None) as connection:
            delete_runs(connection, self.codec, ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all its namespaces, checkpoints and writes; an unknown source copies nothing.

        Raises:
            BadInput: the target thread exists already.
        """
        source = checked_id("source_thread_id", source_thread_id)
        target = checked_id("target_thread_id", target_thread_id)
        with self._writing(target) as connection:
            copy_thread(connection, source, target)

    def prune(
        self, thread_ids: Sequence[str], *, strategy: Literal["keep_latest", "delete"] | str = "keep_latest"
    ) -> None:
        """Make threads smaller: keep the newest checkpoint of each namespace, or delete the threads.

        `keep_latest` also keeps the ancestors from which a delta channel is rebuilt.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise BadInput(f"`strategy` must be 'keep_latest' or 'delete', got {strategy!r}")
        for thread_id in thread_ids:
            with self._writing(checked_id("thread_id", thread_id)) as connection:
                if strategy == "delete":
                    delete_thread(connection, thread_id)
                else:
                    keep_latest(connection, self.codec, thread_id)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what the ancestors of a checkpoint wrote to delta channels, and the value that they started from."""
        if not channels:
            return {}
        place = place_in(config)
        with self._reading(place.thread_id) as connection:
            return load_history(connection, self.codec, place, channels)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `get_tuple`."""
        return await self._run(config, lambda: self.get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See `list`."""
        pages = self._pages(query_in(config, filter=filter, before=before), limit)
        while (page := await self._run(config, lambda: next(pages, None))) is not None:
            for item in page:
                yield item

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `put`."""
        return await self._run(config, lambda: self.put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See `put_writes`."""
        await self._run(config, lambda: self.put_writes(config, writes, task_id, task_path))

    async def adelete_thread(self, thread_id: str) -> None:
        """See `delete_thread`."""
        await self._in_lane(str(thread_id), lambda: self.delete_thread(thread_id))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """See `delete_for_runs`."""
        await self._in_lane("", lambda: self.delete_for_runs(run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """See `copy_thread`."""
        await self._in_lane(str(source_thread_id), lambda: self.copy_thread(source_thread_id, target_thread_id))

    async def aprune(
        self, thread_ids: Sequence[str], *, strategy: Literal["keep_latest", "delete"] | str = "keep_latest"
    ) -> None:
        """See `prune`."""
        await self._in_lane("", lambda: self.prune(thread_ids, strategy=strategy))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """See `get_delta_channel_history`."""
        return await self._run(config, lambda: self.get_delta_channel_history(config=config, channels=channels))

    def _pages(self, query: Query, limit: int | None) -> Iterator[_Tuples]:
        after: tuple[str, bytes] | None = None
        while limit is None or limit > 0:
            size = PAGE if limit is None or query.filter else min(limit, PAGE)
            with self._reading(query.thread_id) as connection:
                page, after = load_page(connection, self.codec, query, after=after, limit=size)
            if limit is not None:
                page = page[:limit]
                limit -= len(page)
            yield page
            if after is None:
                return

    async def _run(self, config: RunnableConfig | None, call: Callable[[], T]) -> T:
        thread_id = (config or {}).get("configurable", {}).get("thread_id", "")
        return await self._in_lane(str(thread_id), call)

    async def _in_lane(self, key: str, call: Callable[[], T]) -> T:
        check_process(self.engine)
        return await self._lanes.run(key, call)

    @contextmanager
    def _reading(self, thread_id: str | None) -> Generator[Connection]:
        migrate(self.engine)
        with read_transaction(self.engine, thread_id=thread_id) as connection:
            yield connection

    @contextmanager
    def _writing(self, thread_id: str | None) -> Generator[Connection]:
        check_process(self.engine)  # before a lock that another thread held when the process was forked
        migrate(self.engine)
        lock = self._locks[hash(thread_id) % _STRIPES]
        with lock, write_transaction(self.engine, thread_id=thread_id) as connection:
            yield connection
