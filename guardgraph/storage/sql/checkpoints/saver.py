"""A LangGraph checkpointer for SQL databases: one class, sync and async, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Event
from typing import Any, Self, TypeAlias, TypeVar, Unpack

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from sqlalchemy import Engine

from guardgraph.state import BadInput, StorageCorrupt
from guardgraph.storage.sql.checkpoints.commits import commit_log_in, notes_commit, notes_loaded
from guardgraph.storage.sql.checkpoints.history import load_history
from guardgraph.storage.sql.checkpoints.holding_recorder import HoldingRecorder
from guardgraph.storage.sql.checkpoints.lanes import Lanes, async_twin, thread_key
from guardgraph.storage.sql.checkpoints.loading import load_pages, query_in
from guardgraph.storage.sql.checkpoints.memory import Memory
from guardgraph.storage.sql.checkpoints.recorder import Recorder
from guardgraph.storage.sql.checkpoints.storing import metadata_of, numbered
from guardgraph.storage.sql.checkpoints.thread_management import ThreadManagement
from guardgraph.storage.sql.checkpoints.unstored import Unstored
from guardgraph.storage.sql.checkpoints.write_behind import WriteBehind
from guardgraph.storage.sql.checkpoints.writes import Pending, Writes
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.options import CodecOptions, codec_of
from guardgraph.storage.sql.codec.records import named_types
from guardgraph.storage.sql.engine import (
    Synchronous,
    check_process,
    close_engine,
    engine_of,
    is_forked,
)
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.places import Place, checked_id, checked_tenant, config_at, place_in
from guardgraph.storage.sql.statements import Query

__all__ = ("FORK_BITS", "SQLSaver")

_T = TypeVar("_T")
_Damage: TypeAlias = list[StorageCorrupt]  # `list` is a method in the class
_Page: TypeAlias = list[CheckpointTuple]
FORK_BITS = 40
"""The bits of a channel's version that distinguish the branches of a fork; those above are a counter."""


class SQLSaver(ThreadManagement, BaseCheckpointSaver[int]):
    """Keep the checkpoints of any LangGraph graph in a SQL database.

    Every method has its `a` twin, which reads and writes in worker threads and never blocks the event loop; small
    values are packed on it. The writes of one thread id happen one after the other, in the order of submission; each
    `put` is one transaction.
    The tables are created or upgraded at the first use. A saver does not survive a fork: open one in each process.

    Values are stored by `Codec`: what is not plain data, guardgraph's, LangChain's or LangGraph's must be registered
    with `types`. Thread, checkpoint, task and run ids are texts of at most 255 characters.
    """

    def __init__(
        self,
        engine: Engine | str,
        *,
        types: Sequence[type[Any]] = (),
        tenant: str | None = None,
        trust_identity: bool = False,
        write_behind: float | None = None,
        **stored: Unpack[CodecOptions],
    ) -> None:
        """Use an engine that the caller owns and closes, or make one for a database URL; see `from_url`.

        Args:
            engine: the database.
            types: the classes that the state may hold.
            tenant: whose threads are read and written; no method sees those of another tenant. `None` is whoever names
                none; an empty text is refused.
            trust_identity: do not compare the elements of long lists with what they were at the last checkpoint, so
                that a change that a node makes in place, without returning the element, is lost on resuming.
            write_behind: hold what is put in memory for up to so many seconds, to commit several supersteps together.
                A process that dies loses what is held: those supersteps run again. See `flush`.
            stored: `key`, `compress_above` and `allow_plain`, see `CodecOptions`.

        Raises:
            BadInput: the URL or the key is none, a type in `types` cannot be registered, `tenant` is no id, or
                `write_behind` is no number of seconds above 0.
            MissingExtra: there is a key, and the extra `encryption` is not installed.
            StorageUnavailable: the folder of a SQLite file does not exist.
        """
        self.codec = codec_of(types, **stored)
        super().__init__(serde=self.codec)
        self.engine = engine_of(engine)
        self._owns_engine = isinstance(engine, str)
        self.tenant = checked_tenant(tenant)
        self._trust_identity = trust_identity
        self._memory = Memory()
        self._lanes = Lanes()
        self._unstored = Unstored()
        self._behind = None if write_behind is None else WriteBehind(write_behind, self._memory)
        self._writes = Writes(self.engine, self.codec, self.tenant, behind=self._behind)

    def __init_subclass__(cls, **facts: Any) -> None:
        """Make what a subclass does in `put` and `put_writes` also what coroutines do."""
        super().__init_subclass__(**facts)
        for name in ("put", "put_writes"):
            if name in vars(cls) and f"a{name}" not in vars(cls):
                setattr(cls, f"a{name}", async_twin(vars(cls)[name]))

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        types: Sequence[type[Any]] = (),
        tenant: str | None = None,
        trust_identity: bool = False,
        write_behind: float | None = None,
        busy_timeout: float = 5.0,
        synchronous: Synchronous = "FULL",
        **stored: Unpack[CodecOptions],
    ) -> Self:
        """Return a saver for a database URL, such as `sqlite:///runs.db` or `postgresql://user@host/name`.

        `types` are the classes that the state may hold (see `Codec`), `busy_timeout` is in seconds, `synchronous` is
        for SQLite; see `engine_of` for both, and for the errors. See the class for all else.
        """
        engine = engine_of(url, busy_timeout=busy_timeout, synchronous=synchronous)
        saver = cls(
            engine, types=types, tenant=tenant, trust_identity=trust_identity, write_behind=write_behind, **stored
        )
        saver._owns_engine = True
        return saver

    def close(self) -> None:
        """Store what is held, stop the worker threads, and close the connections if this saver made its engine.

        It can still be used. In a forked process nothing is done: all of it belongs to the parent.

        Raises:
            StorageError: what `write_behind` holds cannot be stored.
        """
        if is_forked(self.engine):
            return
        try:
            self.flush()
        finally:
            self._lanes.close()
            if self._owns_engine:
                close_engine(self.engine)

    def flush(self, thread_id: str | None = None) -> None:
        """Store what `write_behind` holds, of one thread or of all; without that option there is nothing to do.

        Raises:
            StorageError, Unserializable: it cannot be stored. After a fault that may pass, such as a full disk, it is
                held on; else the thread goes on from what is stored.
        """
        self._writes.flush_held(thread_id)

    def flush_last(self, thread_id: str) -> None:
        """Do as `flush`, and hold nothing more that comes under the lease of this saver: it is about to end."""
        self._writes.holds_no_more.set()
        self.flush(thread_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not is_forked(self.engine):
            await self._lanes.drain()
            await asyncio.to_thread(self.flush)
            if self._unstored:
                await self._lanes.run("", self._unstored.wait)
        self.close()

    def with_types(self, *types: type[Any]) -> Self:
        """Return a saver of the same database that also stores `types`; it shares everything else with this one."""
        return self._changed(self.codec.with_types(*types))

    def with_fence(self, fence: Fence) -> Self:
        """Return a saver of the same database whose writes raise `StaleWriter` once a lease was lost."""
        return self._changed(writes=self._writes.changed(fence=fence, holds_no_more=Event()))

    def storing_along(self, *pending: Pending) -> Self:
        """Return a saver of the same database that stores with each commit what else has changed, such as a ledger."""
        return self._changed(writes=self._writes.changed(along=pending))

    def reading_plain(self, on_unknown: Callable[[str], None]) -> Self:
        """Return a saver of the same database that reads objects of unknown classes as dicts of their fields.

        It calls `on_unknown` with the name of each such class, as `module:name`. Use it only to inspect stored data: a
        running graph needs the classes.
        """
        return self._changed(self.codec.reading_plain(on_unknown))

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Return a saver that also stores the classes that LangGraph found in a graph's schemas, by module and name."""
        return self.with_types(*named_types(extra_allowlist))

    def get_next_version(self, current: int | None, channel: None) -> int:
        """Return a version above `current`: a counter, and 40 random bits that distinguish the branches of a fork."""
        return ((current or 0) >> FORK_BITS) + 1 << FORK_BITS | secrets.randbits(FORK_BITS)

    @notes_loaded
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that `config` names, or the newest of its thread and namespace, or None."""
        return self._recorder.get(self._place_in(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield checkpoints, newest first; `filter` compares metadata by equality, all keys must match.

        Without a config all threads are listed, without `checkpoint_ns` in it all namespaces of the thread.
        """
        query = query_in(config, filter=filter, before=before, tenant=self.tenant)
        for page in self._pages(query, limit):
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
            StorageError: or a subclass, when the database refuses; then nothing of the checkpoint is stored.
        """
        stored = self._put(config, checkpoint, metadata, new_versions, by_caller=True)
        self._recorder.finish(stored)
        return self._config_of(config, checkpoint)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `put`."""
        put = partial(self._put, config, checkpoint, metadata, new_versions, by_caller=False)
        await self._await_stored(config, put, to_put=True)
        return self._config_of(config, checkpoint)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, before the checkpoint that will contain it.

        Storing the same write again keeps the first one; errors, interrupts and resume values are replaced.
        """
        self._put_writes(config, writes, task_id, task_path).result()

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See `put_writes`."""
        put = partial(self._put_writes, config, writes, task_id, task_path)
        await self._await_stored(config, put, to_put=False)

    def replace_writes(self, config: RunnableConfig, writes: Mapping[str, Sequence[tuple[str, Any]]]) -> None:
        """Store what tasks have written at a checkpoint, by the ids of the tasks, in one transaction.

        It replaces what was stored of these tasks, but for errors, interrupts and resume values.
        """
        by_task = {checked_id("task_id", task): numbered(some) for task, some in writes.items()}
        place = self._place_at(config)
        self._writes.flush_held(place.thread_id)
        self._recorder.put_writes(place, by_task, replace=True).result()

    @notes_commit(lambda given: given["checkpoint"]["id"])
    def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
        *,
        by_caller: bool,
    ) -> Future[None]:
        place = self._place_in(config)
        stored = metadata_of(config, metadata)
        return self._recorder_for(config).put(place, checkpoint, stored, new_versions, by_caller=by_caller)

    @notes_commit(lambda given: given["task_id"])
    def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Future[None]:
        by_task = {checked_id("task_id", task_id): numbered(writes)}
        return self._recorder_for(config).put_writes(self._place_at(config), by_task, task_path=task_path)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what the ancestors of a checkpoint wrote to delta channels, and the value that they started from."""
        if not channels:
            return {}
        place = self._place_in(config)
        with self._writes.reading(place.thread_id) as connection:
            return load_history(connection, self.codec, place, channels)

    aget_tuple = async_twin(get_tuple)
    aget_delta_channel_history = async_twin(get_delta_channel_history)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See `list`."""
        query = query_in(config, filter=filter, before=before, tenant=self.tenant)
        pages = self._pages(query, limit)
        while (page := await self.run_in_lane(thread_key(config), lambda: next(pages, None))) is not None:
            for item in page:
                yield item

    async def run_in_lane(self, key: str, call: Callable[[], _T]) -> _T:
        """Make `call` in the worker thread of `key`, after all that was accepted for it before is stored."""
        check_process(self.engine)

        def after_writes() -> _T:
            self._unstored.wait(key)
            return call()

        return await self._lanes.run(key, after_writes)

    def _pages(self, query: Query, limit: int | None) -> Iterator[_Page]:
        self._writes.flush_held(query.thread_id)
        yield from load_pages(self.engine, self.codec, query, limit)

    async def _await_stored(self, config: RunnableConfig, put: Callable[[], Future[None]], *, to_put: bool) -> None:
        """Call `put` and wait until it is stored; where it reads, in the worker thread of the thread id."""
        check_process(self.engine)
        key = thread_key(config)
        recorder = self._recorder_for(config)
        waits = recorder.must_wait(self._place_in(config), to_put=to_put)
        run = self._lanes.run if waits else self._lanes.run_brief
        stored = await run(key, lambda: self._unstored.add(key, put()))
        await asyncio.shield(asyncio.wrap_future(stored))

    def _config_of(self, config: RunnableConfig, checkpoint: Checkpoint) -> RunnableConfig:
        place = self._place_in(config)
        return config_at(place.thread_id, place.namespace, checkpoint["id"])

    def _place_at(self, config: RunnableConfig) -> Place:
        """Return the place of a checkpoint that is named."""
        place = self._place_in(config)
        if place.checkpoint_id is None:
            raise BadInput("the config of a write names no checkpoint; pass the config that `put` returned")
        return place

    def _place_in(self, config: RunnableConfig) -> Place:
        return place_in(config, tenant=self.tenant)

    @property
    def _recorder(self) -> Recorder:
        return Recorder(self.codec, self._memory, self._writes, trust_identity=self._trust_identity)

    def _recorder_for(self, config: RunnableConfig) -> Recorder:
        """Return what stores something: at once where somebody waits for the commit, as `Runner.stream` does."""
        if self._behind is None or self._writes.holds_no_more.is_set() or commit_log_in(config) is not None:
            self._writes.flush_held(thread_key(config))
            return self._recorder
        return HoldingRecorder(
            self.codec, self._memory, self._writes, trust_identity=self._trust_identity, behind=self._behind
        )

    def _changed(self, codec: Codec | None = None, writes: Writes | None = None) -> Self:
        clone = copy.copy(self)
        clone.codec = clone.serde = codec or self.codec
        clone._writes, clone._owns_engine = writes or self._writes.changed(codec=clone.codec), False
        return clone
