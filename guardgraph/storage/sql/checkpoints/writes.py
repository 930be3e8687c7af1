"""The transactions of a saver: what else is checked and stored in each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy import Connection, Engine

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.group_commit import GroupCommit, JobFacts, group_commit_of
from guardgraph.storage.sql.key_check import check_key
from guardgraph.storage.sql.leases import Fence
from guardgraph.storage.sql.migrate import migrate

__all__ = ("Holding", "Pending", "Writes")

_T = TypeVar("_T")


class Pending(Protocol):
    """What collects changes in memory that are stored with the next commit."""

    def write_changes(self, connection: Connection) -> None:
        """Write what has changed, in a transaction of the caller's, who calls `written` after it."""
        ...

    def written(self, is_committed: bool, /) -> None:  # noqa: FBT001 - `GroupCommit` calls it
        """Note whether what was written last is committed; else it is written again."""
        ...


class Holding(Protocol):
    """What holds writes back for a while."""

    def flush(self, thread_id: str | None) -> None:
        """Store what is held of a thread, or of all; raise why that is not possible."""
        ...


@dataclass(frozen=True, slots=True)
class Writes:
    """Does jobs in transactions, together with what others write at the same moment."""

    engine: Engine
    codec: Codec
    tenant: str
    fence: Fence | None = None
    """The lease without which nothing is written."""
    along: tuple[Pending, ...] = ()
    """What is stored with every job."""
    connection: Connection | None = None
    """An open transaction of the caller's, in which all is done."""
    commits: GroupCommit = field(init=False)
    behind: Holding | None = None
    """What holds writes back; they are stored before anything else of their thread is written or read."""
    holds_no_more: Event = field(default_factory=Event)
    """Set once the lease is about to be given back: what comes later is stored at once, or refused."""
    _key_fits: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        object.__setattr__(self, "commits", group_commit_of(self.engine))

    def changed(self, **facts: Any) -> Self:
        """Return the same with another codec or fence, or with something else that is stored along."""
        return replace(self, **facts)

    def do(self, thread_id: str | None, job: Callable[[Connection], _T]) -> _T:
        """Do a job in a transaction, and return its result once that is committed.

        A job may be done again; see `GroupCommit`.
        """
        if self.connection is not None:
            return job(self.connection)
        self.flush_held(thread_id)
        return self.commits.write(self._whole(job), thread_id=thread_id, after=self._written)

    def submit(
        self,
        thread_id: str,
        job: Callable[[Connection], _T],
        done: Callable[[_T], object],
        *,
        patience: float | None,
        undo: Callable[[], object] | None = None,
    ) -> Future[_T]:
        """Do a job that joins others in a transaction, and return a future; `done` is called with its result before.

        `undo` is called where its transaction has failed, before any other one begins.
        Up to `patience` seconds it waits for others to be committed with; `None` leaves the work to the caller.
        """
        if self.connection is not None:
            return _done_in(self.connection, job, done)
        results = list[_T]()
        whole = self._whole(job)

        def work(connection: Connection) -> _T:
            results[:] = [whole(connection)]
            return results[0]

        def after(is_committed: bool) -> None:  # noqa: FBT001 - `GroupCommit` calls it
            self._written(is_committed)
            if is_committed:
                done(results[0])
            elif undo is not None:
                undo()

        facts: JobFacts = {"thread_id": thread_id, "after": after, "joins": True, "fence": self.fence}
        if patience is None:
            return self.commits.accept(work, **facts)
        return self.commits.submit(work, **facts, patience=patience)

    def reading(self, thread_id: str) -> AbstractContextManager[Connection]:
        """Return a transaction in which a thread is read."""
        if self.connection is not None:
            return nullcontext(self.connection)
        self.flush_held(thread_id)
        return read_transaction(migrate(self.engine), thread_id=thread_id)

    def flush_held(self, thread_id: str | None) -> None:
        """Store what is held back of a thread, or of all."""
        if self.behind is not None:
            self.behind.flush(thread_id)

    def _whole(self, job: Callable[[Connection], _T]) -> Callable[[Connection], _T]:
        """Return a job with all that belongs into its transaction."""

        def whole(connection: Connection) -> _T:
            self._check(connection)
            for pending in self.along:
                pending.write_changes(connection)
            return job(connection)

        return whole

    def _written(self, is_committed: bool) -> None:  # noqa: FBT001 - `GroupCommit` calls it
        for pending in self.along:
            pending.written(is_committed)

    def _check(self, connection: Connection) -> None:
        if not self._key_fits.is_set() and check_key(connection, self.codec, self.tenant):
            self._key_fits.set()
        if self.fence is not None:
            self.fence.check(connection)


def _done_in(connection: Connection, job: Callable[[Connection], _T], done: Callable[[_T], object]) -> Future[_T]:
    """Do a job at once, and return its future."""
    future: Future[_T] = Future()
    try:
        found = job(connection)
    except Exception as error:
        future.set_exception(error)
    else:
        done(found)
        future.set_result(found)
    return future
