"""A LangGraph checkpointer for SQL databases: one class, sync and async, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Event
from typing import Any, Literal, Self, TypeVar, Unpack

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
from guardgraph.storage.sql.checkpoints.commits import notes_commit, notes_loaded
from guardgraph.storage.sql.checkpoints.lanes import Lanes, async_twin, thread_key
from guardgraph.storage.sql.checkpoints.loading import load_checkpoint, load_history, load_pages, query_in
from guardgraph.storage.sql.checkpoints.retention import copy_thread, delete_runs, delete_thread, keep_latest
from guardgraph.storage.sql.checkpoints.storing import (
    checkpoint_row,
    store_checkpoint,
    store_writes,
    value_rows,
    write_rows,
)
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.codec.options import CodecOptions, codec_of
from guardgraph.storage.sql.codec.records import named_types
from guardgraph.storage.sql.engine import (
    Synchronous,
    check_process,
    close_engine,
    engine_of,
    is_forked,
    read_transaction,
)
from guardgraph.storage.sql.errors import translate_errors
from guardgraph.storage.sql.group_commit import group_commit_of
from guardgraph.storage.sql.key_check import check_key
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.ledger.run_ledger import RunLedger
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id, config_at, place_in

__all__ = ("SQLSaver",)

_T = TypeVar("_T")
_PATIENCE = 0.002
"""Seconds that the writes of a task wait for the checkpoint of its superstep, to be committed with it."""
_FORK_BITS = 40


class SQLSaver(BaseCheckpointSaver[int]):
    """Keep the checkpoints of any LangGraph graph in a SQL database.

    Every method has its `a` twin, which runs in a worker thread and never blocks the event loop. The writes of one
    thread id happen one after the other, in the order of submission; each `put` is one transaction.
    The tables are created or upgraded at the first use. A saver does not survive a fork: open one in each process.

    Values are stored by `Codec`: what is not plain data, guardgraph's, LangChain's or LangGraph's must be registered
    with `types`. Thread, checkpoint, task and run ids are texts of at most 255 characters.
    """

    def __init__(
        self, engine: Engine | str, *, types: Sequence[type[Any]] = (), **stored: Unpack[CodecOptions]
    ) -> None:
        """Use an engine that the caller owns and closes, or make one for a database URL; see `from_url`.

        Raises:
            BadInput: the URL or the key is none, or a type in `types` cannot be registered.
            MissingExtra: there is a key, and the extra `encryption` is not installed.
            StorageUnavailable: the folder of a SQLite file does not exist.
        """
        self.codec = codec_of(types, **stored)
        super().__init__(serde=self.codec)
        self.engine = engine_of(engine)
        self.fence: Fence | None = None
        self._owns_engine = isinstance(engine, str)
        self._commits = group_commit_of(self.engine)
        self._books: RunLedger | None = None
        self._lanes = Lanes()
        self._key_fits = Event()

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        types: Sequence[type[Any]] = (),
        busy_timeout: float = 5.0,
        synchronous: Synchronous = "FULL",
        **stored: Unpack[CodecOptions],
    ) -> Self:
        """Return a saver for a database URL, such as `sqlite:///runs.db` or `postgresql://user@host/name`.

        `types` are the classes that the state may hold (see `Codec`), `busy_timeout` is in seconds, `synchronous` is
        for SQLite; see `engine_of` for both, and for the errors. `CodecOptions` encrypt and compress.
        """
        saver = cls(engine_of(url, busy_timeout=busy_timeout, synchronous=synchronous), types=types, **stored)
        saver._owns_engine = True
        return saver

    def close(self) -> None:
        """Stop the worker threads, and close the connections if this saver made its engine; it opens both again."""
        if is_forked(self.engine):  # both belong to the parent
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
        return self._changed(self.codec.with_types(*types))

    def with_books(self, books: RunLedger) -> Self:
        """Return a saver of the same database that stores what a run has booked with its checkpoints."""
        clone = self._changed()
        clone._books = books
        return clone

    def reading_plain(self, on_unknown: Callable[[str], None]) -> Self:
        """Return a saver of the same database that reads objects of unknown classes as dicts of their fields.

        It calls `on_unknown` with each such class, as `module:name`. A running graph needs the classes.
        """
        return self._changed(self.codec.reading_plain(on_unknown))

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Return a saver that also stores the classes that LangGraph found in a graph's schemas, by module and name."""
        return self.with_types(*named_types(extra_allowlist))

    def with_fence(self, fence: Fence) -> Self:
        """Return a saver of the same database whose writes raise `StaleWriter` once a lease was lost."""
        return self._changed(fence=fence)

    def get_next_version(self, current: int | None, channel: None) -> int:
        """Return a version above `current`: a counter, and 40 random bits that distinguish the branches of a fork."""
        return ((current or 0) >> _FORK_BITS) + 1 << _FORK_BITS | secrets.randbits(_FORK_BITS)

    @notes_loaded
    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the checkpoint that `config` names, or the newest of its thread and namespace, or None."""
        place = place_in(config)
        with read_transaction(migrate(self.engine), thread_id=place.thread_id) as connection:
            return load_checkpoint(connection, self.codec, place)

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
        for page in load_pages(self.engine, self.codec, query_in(config, filter=filter, before=before), limit):
            yield from page

    @notes_commit(lambda given: given["checkpoint"]["id"])
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
        job = self._checkpoint_job(config, checkpoint, metadata, new_versions)
        return self._write(place_in(config).thread_id, job)

    @notes_commit(lambda given: given["checkpoint"]["id"])
    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Do as `put` without blocking the event loop."""
        job = self._checkpoint_job(config, checkpoint, metadata, new_versions)
        return await self._awrite(place_in(config).thread_id, job)

    @notes_commit(lambda given: given["task_id"])
    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
        *,
        replace: bool = False,
    ) -> None:
        """Store what a task wrote, before the checkpoint that will contain it.

        Storing the same write again keeps the first one; errors, interrupts and resume values are replaced. With
        `replace` all other writes of the task at this checkpoint are deleted first.
        """
        job = self._writes_job(config, writes, task_id, task_path, replace=replace)
        self._write(place_in(config).thread_id, job, patience=_PATIENCE)

    @notes_commit(lambda given: given["task_id"])
    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Do as `put_writes` without blocking the event loop."""
        job = self._writes_job(config, writes, task_id, task_path)
        await self._awrite(place_in(config).thread_id, job, patience=_PATIENCE)

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that is stored of a thread; an unknown one is no error."""
        self._write(checked_id("thread_id", thread_id), partial(delete_thread, thread_id=thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints and writes of some runs, in all threads; see `delete_runs` for delta channels."""
        ids = [checked_id("run_id", run_id) for run_id in run_ids]
        self._write(None, partial(delete_runs, codec=self.codec, run_ids=ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all its namespaces, checkpoints and writes; an unknown source copies nothing.

        Raises:
            BadInput: the target thread exists already.
        """
        source = checked_id("source_thread_id", source_thread_id)
        target = checked_id("target_thread_id", target_thread_id)
        self._write(target, partial(copy_thread, source=source, target=target))

    def prune(
        self, thread_ids: Sequence[str], *, strategy: Literal["keep_latest", "delete"] | str = "keep_latest"
    ) -> None:
        """Make threads smaller: keep the newest checkpoint of each namespace, or delete the threads.

        `keep_latest` also keeps the ancestors from which a delta channel is rebuilt.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise BadInput(f"`strategy` must be 'keep_latest' or 'delete', got {strategy!r}")
        for thread_id in thread_ids:
            job = partial(keep_latest, codec=self.codec, thread_id=checked_id("thread_id", thread_id))
            self._write(thread_id, partial(delete_thread, thread_id=thread_id) if strategy == "delete" else job)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Return what the ancestors of a checkpoint wrote to delta channels, and the value that they started from."""
        if not channels:
            return {}
        place = place_in(config)
        with read_transaction(migrate(self.engine), thread_id=place.thread_id) as connection:
            return load_history(connection, self.codec, place, channels)

    aget_tuple = async_twin(get_tuple)
    adelete_thread = async_twin(delete_thread)
    adelete_for_runs = async_twin(delete_for_runs)
    acopy_thread = async_twin(copy_thread)
    aprune = async_twin(prune)
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
        pages = load_pages(self.engine, self.codec, query_in(config, filter=filter, before=before), limit)
        while (page := await self.run_in_lane(thread_key(config), lambda: next(pages, None))) is not None:
            for item in page:
                yield item

    async def run_in_lane(self, key: str, call: Callable[[], _T]) -> _T:
        """Make `call` in the worker thread of `key`, after all calls that were accepted for it before."""
        check_process(self.engine)
        await self._commits.settled()
        return await self._lanes.run(key, call)

    def _changed(self, codec: Codec | None = None, fence: Fence | None = None) -> Self:
        clone = copy.copy(self)
        clone.codec = clone.serde = codec or self.codec
        clone.fence, clone._owns_engine = fence or self.fence, False
        return clone

    def _checkpoint_job(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Callable[[Connection], RunnableConfig]:
        """Return what stores a checkpoint in a transaction, and returns its config."""
        place = place_in(config)
        with translate_errors(place.thread_id):
            row = checkpoint_row(self.codec, config, place, checkpoint, metadata)
            stored = value_rows(self.codec, place, checkpoint, new_versions)

        def store(connection: Connection) -> RunnableConfig:
            store_checkpoint(connection, place, row, stored)
            return config_at(place.thread_id, place.namespace, row["checkpoint_id"])

        return store

    def _writes_job(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
        *,
        replace: bool = False,
    ) -> Callable[[Connection], None]:
        """Return what stores the writes of a task in a transaction."""
        place = place_in(config)
        if place.checkpoint_id is None:
            raise BadInput("the config of a write names no checkpoint; pass the config that `put` returned")
        with translate_errors(place.thread_id):
            rows = write_rows(self.codec, place, writes, task_id=task_id, task_path=task_path)
        return partial(store_writes, place=place, rows=rows, replaced_task=task_id if replace else None)

    def _write(self, thread_id: str | None, job: Callable[[Connection], _T], *, patience: float = 0.0) -> _T:
        """Do a job in a transaction, with what the run has booked; return once it is committed."""
        if patience:
            return self._submit(thread_id, job, patience).result()
        return self._commits.write(self._with_books(job), thread_id=thread_id, after=self._after)

    async def _awrite(self, thread_id: str, job: Callable[[Connection], _T], *, patience: float = 0.0) -> _T:
        return await asyncio.shield(asyncio.wrap_future(self._submit(thread_id, job, patience)))

    def _submit(self, thread_id: str | None, job: Callable[[Connection], _T], patience: float) -> Future[_T]:
        return self._commits.submit(self._with_books(job), thread_id=thread_id, after=self._after, patience=patience)

    def _with_books(self, job: Callable[[Connection], _T]) -> Callable[[Connection], _T]:
        def whole(connection: Connection) -> _T:
            if not self._key_fits.is_set():
                check_key(connection, self.codec)
                self._key_fits.set()
            if self.fence is not None:
                self.fence.check(connection)
            if self._books is not None:
                self._books.write_changes(connection)
            return job(connection)

        return whole

    @property
    def _after(self) -> Callable[[bool], object] | None:
        return None if self._books is None else self._books.written
