"""Whole threads: pruning, deleting, copying, forking and comparing them, with the runs that they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from guardgraph.state import (
    GuardgraphError,
    RunUnfinished,
    StorageCorrupt,
    ThreadBusy,
    UnknownThread,
    new_id,
)
from guardgraph.storage.retention import CheckpointKey, Retention, StoredCheckpoint
from guardgraph.storage.sql.checkpoints.removal import Removal, remove
from guardgraph.storage.sql.checkpoints.retention import removals_of, whole_thread
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import read_transaction, write_transaction
from guardgraph.storage.sql.key_check import check_key
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.thread_copies import Origin, origin_of
from guardgraph.storage.sql.thread_diff import ThreadDiff, diff_of
from guardgraph.storage.sql.thread_rows import (
    check_ended,
    check_idle,
    delete_rows,
    idle,
    is_stored,
    rows_of,
    thread_ids,
)

__all__ = ("Removed", "Threads")


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of a thread, or would be."""

    thread_id: str
    checkpoints: int = 0
    """How many checkpoints, in all namespaces."""
    kept: int = 0
    """How many checkpoints are left."""
    bytes: int = 0
    """How much was freed, without keys and indexes. A database file gets smaller only when it is compacted."""
    runs: int = 0
    effects: int = 0
    skipped: GuardgraphError | None = None
    """Why nothing was: somebody works on the thread, its last run has not ended, or it is damaged."""


def _removed(thread_id: str, removals: Sequence[Removal], count: int) -> Removed:
    gone, size = sum(len(one.ids) for one in removals), sum(one.bytes for one in removals)
    return Removed(thread_id, gone, kept=count - gone, bytes=size)


class Threads:
    """The stored threads of one database and one tenant. Every method has an `a` twin, which blocks no event loop.

    What is changed of a thread is changed in one transaction: as a whole or not at all.
    """

    def __init__(self, saver: SQLSaver, *, on_copied: Callable[[str], object] | None = None) -> None:
        """Use the database, the key and the tenant of a saver, which the caller closes.

        `on_copied` is called with each thread that `copy` and `fork` have made.
        """
        self._saver, self._on_copied = saver, on_copied

    def ids(self) -> list[str]:
        """Return all threads that have a checkpoint, a run or a board of their own, sorted."""
        with read_transaction(migrate(self._saver.engine)) as connection:
            return thread_ids(connection, self._saver.tenant)

    def prune(
        self, thread_id: str, retention: Retention, *, now: datetime | None = None, dry_run: bool = False
    ) -> Removed:
        """Remove the checkpoints of a thread that `retention` does not keep; with `dry_run` only return which would go.

        A run that has failed can be tried again (`Runner.retry`) only while the checkpoints before its failure exist.

        Raises:
            UnknownThread: nothing is stored of it.
            ThreadBusy: somebody works on it.
            RunUnfinished: its last run has not ended: it waits, was stopped or has died.
            StorageCorrupt: it is damaged; repair it first.
        """
        checked_id("thread_id", thread_id)
        at = now or datetime.now(UTC)

        def expendable(found: Mapping[CheckpointKey, StoredCheckpoint]) -> frozenset[CheckpointKey]:
            return retention(found.values(), at)

        def job(connection: Connection) -> Removed:
            saver = self._saver
            check_ended(connection, saver.tenant, thread_id)
            removals, count = removals_of(connection, saver.codec, saver.tenant, thread_id, expendable)
            for removal in () if dry_run else removals:
                remove(connection, removal)
            return _removed(thread_id, removals, count)

        return self._managed(thread_id, job, dry_run=dry_run)

    def prune_all(
        self,
        retention: Retention,
        *,
        thread_ids: Iterable[str] | None = None,
        now: datetime | None = None,
        dry_run: bool = False,
    ) -> Iterator[Removed]:
        """Prune all threads, or some, one after the other, and yield what was removed of each.

        Those that cannot be pruned are skipped, and yielded with the reason.
        """
        for thread_id in self.ids() if thread_ids is None else thread_ids:
            try:
                yield self.prune(thread_id, retention, now=now, dry_run=dry_run)
            except (ThreadBusy, RunUnfinished, StorageCorrupt) as error:
                yield Removed(thread_id, skipped=error)
            except UnknownThread:  # somebody has deleted it meanwhile
                continue

    def delete(self, thread_id: str, *, with_effects: bool = False, dry_run: bool = False) -> Removed:
        """Delete all that is stored of a thread: checkpoints, runs, their ledgers, boards, its lease.

        The records of side effects stay, since the effects stay; `with_effects` deletes those that began in its
        runs, so that they can be made again.

        Raises:
            UnknownThread: nothing is stored of it.
            ThreadBusy: somebody works on it.
        """
        checked_id("thread_id", thread_id)

        def job(connection: Connection) -> Removed:
            tenant = self._saver.tenant
            counted = rows_of(connection, tenant, thread_id, with_effects=with_effects)
            removals = whole_thread(connection, tenant, thread_id)
            for removal in () if dry_run else removals:
                remove(connection, removal)
            if not dry_run:
                delete_rows(connection, tenant, thread_id, with_effects=with_effects)
            removed = _removed(thread_id, removals, sum(len(one.ids) for one in removals))
            return replace(removed, **counted._asdict())

        return self._managed(thread_id, job, dry_run=dry_run)

    def copy(self, thread_id: str, new_thread: str | None = None) -> str:
        """Copy a thread with its history, its runs and its boards, and return the id of the copy, by default a new one.

        Its runs are runs of their own, with ids of their own: what has not ended is resumed, answered and cancelled
        independently of the origin. A run of a `Runner` that has not ended begins with what its stored results have
        cost; what attempts without a result have cost, and what was added to its allowance, stays with the origin.

        Raises:
            UnknownThread: nothing is stored of it.
            ThreadBusy: somebody works on one of both.
            BadInput: the new thread exists already.
            StorageCorrupt: the thread is damaged.
        """
        return self._copied(thread_id, new_thread, Origin.copy_to)

    def fork(self, thread_id: str, *, checkpoint_id: str | None = None, new_thread: str | None = None) -> str:
        """Make a thread of what one checkpoint comes from, by default the newest one, and return its id.

        From the newest checkpoint the fork goes on where the thread is: it waits for the same answers. From an earlier
        one the agents that had worked next work again; the run has not ended, so resume it. Its boards are then those
        at that time. See `copy` for all else.

        Raises:
            BadInput: there is no such checkpoint; or as in `copy`.
        """
        return self._copied(thread_id, new_thread, partial(Origin.fork_to, checkpoint_id=checkpoint_id))

    def diff(
        self, thread_id: str, before: str | None = None, after: str | None = None, *, other: str | None = None
    ) -> ThreadDiff:
        """Return what differs between two checkpoints of the outermost graph, of one thread or of two.

        `before` is a checkpoint of the thread, by default its newest; `after` is one of the `other` thread, by default
        its newest. Without any of the three the newest is compared with the one that it came from. Objects of unknown
        classes are dicts of their fields. Channels that are rebuilt from earlier checkpoints are not compared.

        Raises:
            UnknownThread: nothing is stored of one.
            BadInput: there is no such checkpoint.
        """
        return diff_of(self._saver, thread_id, before, after, other=other)

    def check_stored(self, thread_id: str) -> None:
        """Raise `UnknownThread` where nothing is stored of a thread."""
        checked_id("thread_id", thread_id)
        with read_transaction(migrate(self._saver.engine), thread_id=thread_id) as connection:
            self._check_stored(connection, thread_id)

    async def aids(self) -> list[str]:
        """Do as `ids` without blocking the event loop."""
        return await asyncio.to_thread(self.ids)

    async def aprune(
        self, thread_id: str, retention: Retention, *, now: datetime | None = None, dry_run: bool = False
    ) -> Removed:
        """Do as `prune` without blocking the event loop."""
        return await asyncio.to_thread(self.prune, thread_id, retention, now=now, dry_run=dry_run)

    async def aprune_all(
        self,
        retention: Retention,
        *,
        thread_ids: Iterable[str] | None = None,
        now: datetime | None = None,
        dry_run: bool = False,
    ) -> AsyncIterator[Removed]:
        """Do as `prune_all` without blocking the event loop."""
        each = self.prune_all(retention, thread_ids=thread_ids, now=now, dry_run=dry_run)
        while (removed := await asyncio.to_thread(next, each, None)) is not None:
            yield removed

    async def adelete(self, thread_id: str, *, with_effects: bool = False, dry_run: bool = False) -> Removed:
        """Do as `delete` without blocking the event loop."""
        return await asyncio.to_thread(self.delete, thread_id, with_effects=with_effects, dry_run=dry_run)

    async def acopy(self, thread_id: str, new_thread: str | None = None) -> str:
        """Do as `copy` without blocking the event loop."""
        return await asyncio.to_thread(self.copy, thread_id, new_thread)

    async def afork(self, thread_id: str, *, checkpoint_id: str | None = None, new_thread: str | None = None) -> str:
        """Do as `fork` without blocking the event loop."""
        return await asyncio.to_thread(self.fork, thread_id, checkpoint_id=checkpoint_id, new_thread=new_thread)

    async def adiff(
        self, thread_id: str, before: str | None = None, after: str | None = None, *, other: str | None = None
    ) -> ThreadDiff:
        """Do as `diff` without blocking the event loop."""
        return await asyncio.to_thread(self.diff, thread_id, before, after, other=other)

    def _check_stored(self, connection: Connection, thread_id: str) -> None:
        if not is_stored(connection, self._saver.tenant, thread_id):
            raise UnknownThread(thread_id, url=self._saver.engine.url.render_as_string(hide_password=True))

    def _managed(self, thread_id: str, job: Callable[[Connection], Removed], *, dry_run: bool) -> Removed:
        """Do a job while no other process works on a thread; a dry run changes nothing, so it only reads."""
        engine = migrate(self._saver.engine)
        self._saver.flush(thread_id)
        if dry_run:
            with read_transaction(engine, thread_id=thread_id) as connection:
                check_idle(connection, self._saver.tenant, thread_id)
                return self._checked(connection, thread_id, job)
        with (
            write_transaction(engine, thread_id=thread_id) as connection,
            idle(connection, self._saver.tenant, thread_id),
        ):
            return self._checked(connection, thread_id, job)

    def _checked(self, connection: Connection, thread_id: str, job: Callable[[Connection], Removed]) -> Removed:
        check_key(connection, self._saver.codec, self._saver.tenant)
        self._check_stored(connection, thread_id)
        return job(connection)

    def _copied(
        self, thread_id: str, new_thread: str | None, copy: Callable[[Origin, Connection, Codec, str], int]
    ) -> str:
        source, target = checked_id("thread_id", thread_id), checked_id("new_thread", new_thread or new_id())
        saver = self._saver
        saver.flush(source)
        with write_transaction(migrate(saver.engine), thread_id=source) as connection:
            check_key(connection, saver.codec, saver.tenant)
            self._check_stored(connection, source)
            copy(origin_of(connection, saver.codec, saver.tenant, source), connection, saver.codec, target)
        if self._on_copied is not None:
            self._on_copied(target)
        return target
