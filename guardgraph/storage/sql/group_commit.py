"""One writer an engine: what several threads write at the same moment is committed together."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, RLock, Thread, get_ident
from typing import Any, Generic, TypeVar, Unpack
from weakref import WeakValueDictionary

from sqlalchemy import Connection, Engine
from typing_extensions import TypedDict

from guardgraph.storage.sql.deferred import Unexpected, collecting, run_now
from guardgraph.storage.sql.engine import check_process, write_transaction
from guardgraph.storage.sql.leases import Fence, check_together
from guardgraph.storage.sql.migrate import migrate

__all__ = ("GroupCommit", "JobFacts", "group_commit_of")

_T = TypeVar("_T")
_LARGEST = 256
"""Jobs that are committed together at most."""
_ENOUGH = 5
"""Jobs that wait for no more: the default executor of Python has five threads at least, and all may wait."""
_IDLE = 0.1
"""Seconds after which the thread that commits for coroutines ends; the next job starts another."""


class JobFacts(TypedDict, total=False):
    """What is known of a job besides its work."""

    thread_id: str | None
    """The thread that its errors name."""
    after: Callable[[bool], object] | None
    """Called with `True` once it is committed, and with `False` where its transaction has failed, before the work is
    done again or its error is raised."""
    joins: bool
    """Whether it reads nothing that other jobs may have written in the same transaction, but for what comes after its
    call of `run_deferred`: its prepared statements are run with those of others, at the end of the transaction."""
    fence: Fence | None
    """What it checks; those of jobs that are committed together are checked before, together."""


@dataclass(slots=True, eq=False)
class _Job(Generic[_T]):
    work: Callable[[Connection], _T]
    due: float
    """When it is committed at the latest, on the monotonic clock."""
    facts: JobFacts
    future: Future[_T] = field(default_factory=Future[Any])
    thread: int = field(default_factory=get_ident)
    """Who has submitted it."""

    def ended(self, is_committed: bool) -> None:  # noqa: FBT001 - as `after` is called
        """Note that its transaction has ended."""
        after = self.facts.get("after")
        if after is not None:
            after(is_committed)


class GroupCommit:
    """Commits what was submitted, in its order, as few transactions as there can be.

    A thread that waits for its own job does the work of all that are queued, so a single thread pays for no other.
    Where a transaction fails, each of its jobs is done again in one of its own, and fails alone. Where the thread that
    commits is interrupted, as by Ctrl-C, the jobs of others are done again. So a job may be done more than once: it
    depends on the database alone.
    """

    def __init__(self, engine: Engine) -> None:
        """Use `group_commit_of`, so that there is one for an engine."""
        self._engine = engine
        self._process = os.getpid()
        self._jobs: deque[_Job[Any]] = deque()
        self._changed = Condition(RLock())
        self._leader: int | None = None
        """The thread that commits."""
        self._has_thread = False

    def write(self, work: Callable[[Connection], _T], **facts: Unpack[JobFacts]) -> _T:
        """Do `work` in a write transaction, and return what it returns, once that is committed.

        Raises what `work` raises, with the faults of a database as `StorageError`, which names the thread.
        """
        future = self.accept(work, **facts)
        self.work_until(future)
        return future.result()

    def work_until(self, done: Future[Any]) -> None:
        """Commit what is queued until a future is done, which a queued job ends, or wait for others who do."""
        try:
            while not done.done():
                if self._lead(done):
                    self._commit_next()
        finally:
            self._hand_over()

    def submit(
        self, work: Callable[[Connection], _T], *, patience: float = 0.0, **facts: Unpack[JobFacts]
    ) -> Future[_T]:
        """Do as `write` in a thread of its own, and return a future that is done once it is committed.

        It waits up to `patience` seconds for others that it can be committed with.
        """
        future = self.accept(work, patience=patience, **facts)
        with self._changed:
            if not self._has_thread:
                self._has_thread = True
                Thread(target=self._work, name="guardgraph-commit", daemon=True).start()
        return future

    def accept(
        self, work: Callable[[Connection], _T], *, patience: float = 0.0, **facts: Unpack[JobFacts]
    ) -> Future[_T]:
        """Do as `submit`, but leave the work to whoever calls `work_until`, or commits for others."""
        check_process(self._engine)
        if self._process != os.getpid():  # of an engine that this process opened before; its locks may be held
            self._process, self._changed = os.getpid(), Condition(RLock())
            self._jobs, self._leader, self._has_thread = deque(), None, False
        job = _Job(work, time.monotonic() + patience, facts)
        job.future.set_running_or_notify_cancel()  # what is accepted is done, also where its coroutine is cancelled
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def _lead(self, done: Future[Any]) -> bool:
        """Wait until a future is done, or no other thread commits; return whether the caller does now."""
        with self._changed:
            while self._leader not in (None, get_ident()) and not done.done():
                self._changed.wait()
            if done.done():
                return False
            self._leader = get_ident()
            return True

    def _hand_over(self) -> None:
        """Let another thread commit, if this one does."""
        with self._changed:
            if self._leader == get_ident():
                self._leader = None
                self._changed.notify_all()

    def _commit_next(self) -> None:
        """Commit what is queued, in its order."""
        with self._changed:
            jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), _LARGEST))]
        try:
            if jobs and not _commit(self._engine, jobs, _done_together):
                for job in jobs:
                    _commit(self._engine, [job], _done_alone)
        except BaseException as interrupt:  # of this thread alone
            self._put_back(jobs, interrupt)
            raise
        finally:
            with self._changed:
                self._changed.notify_all()

    def _put_back(self, jobs: Sequence[_Job[Any]], interrupt: BaseException) -> None:
        """Leave the jobs of others to them, and end those of this thread."""
        left = [job for job in jobs if not job.future.done()]
        mine = [job for job in left if job.thread == get_ident()]
        with self._changed:
            self._jobs.extendleft(job for job in reversed(left) if job not in mine)
        for job in mine:
            job.future.set_exception(interrupt)

    def _work(self) -> None:
        """Commit the jobs for which no thread waits, each when it is due."""
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._jobs, timeout=_IDLE):
                    self._has_thread = False
                    return
                pause = self._jobs[0].due - time.monotonic()
                is_led = self._leader is not None
                is_early = pause > 0 and len(self._jobs) < _ENOUGH
                if is_led or (is_early and all(job.due > time.monotonic() for job in self._jobs)):
                    self._changed.wait(None if is_led else pause)
                    continue
                self._leader = get_ident()
            try:
                self._commit_next()
            finally:
                self._hand_over()


def _done_together(connection: Connection, jobs: Sequence[_Job[Any]]) -> list[Any]:
    """Do jobs, and run what they have prepared together. Raises `Unexpected` where that is not possible."""
    fences = {fence for job in jobs if (fence := job.facts.get("fence")) is not None}
    if len(fences) > 1:
        check_together(connection, fences)
    with collecting(connection):
        return [_done_joined(connection, job) for job in jobs]


def _done_joined(connection: Connection, job: _Job[_T]) -> _T:
    if job.facts.get("joins"):
        return job.work(connection)
    with run_now(connection):
        return job.work(connection)


def _done_alone(connection: Connection, jobs: Sequence[_Job[Any]]) -> list[Any]:
    return [job.work(connection) for job in jobs]


def _commit(
    engine: Engine,
    jobs: Sequence[_Job[Any]],
    do: Callable[[Connection, Sequence[_Job[Any]]], list[Any]],
) -> bool:
    """Do some jobs in one transaction; return whether they are done. One that failed by itself is done, too."""
    thread_id = jobs[0].facts.get("thread_id") if len(jobs) == 1 else None
    try:
        with write_transaction(migrate(engine), thread_id=thread_id) as connection:
            values = do(connection, jobs)
    except BaseException as error:
        for job in jobs:
            job.ended(False)
        if not isinstance(error, Exception):
            raise
        if len(jobs) > 1 or isinstance(error, Unexpected):
            return False
        jobs[0].future.set_exception(error)
        return True
    for job, value in zip(jobs, values, strict=True):
        job.ended(True)
        job.future.set_result(value)
    return True


_of_engine: WeakValueDictionary[int, GroupCommit] = WeakValueDictionary()
_lock = RLock()


def group_commit_of(engine: Engine) -> GroupCommit:
    """Return the writer of an engine, the same for all who use it at the same time."""
    with _lock:
        found = _of_engine.get(id(engine))
        if found is None:
            found = _of_engine[id(engine)] = GroupCommit(engine)
        return found
