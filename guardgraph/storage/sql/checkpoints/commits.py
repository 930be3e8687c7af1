"""What a saver has committed, for whoever waits for it: by threads and by coroutines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from functools import wraps
from inspect import signature
from threading import Condition
from typing import Any, TypeVar, cast

from langgraph.checkpoint.base import WRITES_IDX_MAP, CheckpointTuple

__all__ = ("COMMITS", "CommitLog", "commit_log_in", "notes_commit", "notes_loaded")

COMMITS = "__guardgraph_commits"
"""The key under `config["configurable"]` of a `CommitLog`; nested graphs inherit it. See `KEY` for the underscores."""

_Method = TypeVar("_Method", bound=Callable[..., Any])
_Submit = TypeVar("_Submit", bound=Callable[..., Future[None]])


class CommitLog:
    """The ids of the checkpoints and tasks of one attempt whose rows are committed, or why they are not.

    LangGraph stores what a task wrote in the background and does not await it. A saver that finds a log in its config
    notes each row there after the commit.
    """

    def __init__(self) -> None:
        self.committed: set[str] = set()
        """The ids of checkpoints, and of tasks whose writes are stored. It only grows."""
        self._postponed: set[str] = set()
        self._failed: dict[str, BaseException] = {}
        self._changed = Condition()
        self._wakes: set[Callable[[], object]] = set()

    def note(self, *rows: str) -> None:
        """Note that rows are committed."""
        self._note(lambda: self.committed.update(rows))

    def postpone(self, row: str) -> None:
        """Note that a row is held, to be committed with the next checkpoint: no use in waiting for it before that."""
        self._note(lambda: self._postponed.add(row))

    def fail(self, row: str, error: BaseException) -> None:
        """Note that a row could not be stored."""
        self._note(lambda: self._failed.setdefault(row, error))

    def wait(self, rows: Collection[str], patience: float) -> bool:
        """Wait until all `rows` are committed; return whether they are after `patience` seconds, or are postponed.

        Raises:
            StorageError: or what else the saver raised, when one of them could not be stored.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_settled(rows), patience)
        return self._outcome(rows)

    async def await_(self, rows: Collection[str], patience: float) -> bool:
        """Do as `wait` without blocking the event loop."""
        loop, changed, until = asyncio.get_running_loop(), asyncio.Event(), time.monotonic() + patience

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._wakes.add(wake)
        try:
            while not self._is_settled(rows) and (left := until - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), left)
                changed.clear()
        finally:
            self._wakes.discard(wake)
        return self._outcome(rows)

    def _is_settled(self, rows: Collection[str]) -> bool:
        missing = [row for row in rows if row not in self.committed]
        return not missing or any(row in self._failed or row in self._postponed for row in missing)

    def _outcome(self, rows: Collection[str]) -> bool:
        missing = [row for row in rows if row not in self.committed]
        for row in missing:
            if row in self._failed:
                raise self._failed[row]
        return not missing

    def _note(self, change: Callable[[], object]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()
        for wake in tuple(self._wakes):
            with suppress(RuntimeError):  # the loop of one that no longer waits may be closed
                wake()


def notes_commit(row_of: Callable[[dict[str, Any]], str]) -> Callable[[_Submit], _Submit]:
    """Make a method of a saver note in the log of its config that it has committed a row, or why it has not.

    The method returns a future that is done with the commit; the one that is returned in its place is done when that
    is noted. `row_of` returns the id of the row by the method's arguments.
    """

    def decorated(method: _Submit) -> _Submit:
        bind = signature(method).bind

        @wraps(method)
        def noting(self: Any, config: Any, *args: Any, **kwargs: Any) -> Future[None]:
            log = commit_log_in(config)
            if log is None:
                return method(self, config, *args, **kwargs)
            row = row_of(bind(self, config, *args, **kwargs).arguments)
            try:
                stored = method(self, config, *args, **kwargs)
            except BaseException as error:
                log.fail(row, error)
                raise
            noted: Future[None] = Future()
            stored.add_done_callback(lambda stored: _note(log, row, stored, noted))
            return noted

        return cast("_Submit", noting)

    return decorated


def notes_loaded(method: _Method) -> _Method:
    """Make a method of a saver that loads a checkpoint note it in the log of its config, with the finished tasks."""

    @wraps(method)
    def noting(self: Any, config: Any) -> Any:
        loaded: CheckpointTuple | None = method(self, config)
        log = commit_log_in(config)
        if log is not None and loaded is not None:
            writes = loaded.pending_writes or ()
            log.note(loaded.checkpoint["id"], *(task for task, channel, _ in writes if channel not in WRITES_IDX_MAP))
        return loaded

    return cast("_Method", noting)


def _note(log: CommitLog, row: str, stored: Future[None], noted: Future[None]) -> None:
    error = stored.exception()
    if error is None:
        log.note(row)
        noted.set_result(None)
    else:
        log.fail(row, error)
        noted.set_exception(error)


def commit_log_in(config: Any) -> CommitLog | None:
    """Return the log in which the rows that are stored under a config are noted, if there is one."""
    return config.get("configurable", {}).get(COMMITS)
