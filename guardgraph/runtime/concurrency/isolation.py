"""Running an agent's code so that a hung one neither blocks its team nor keeps the process alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any

from langgraph.errors import GraphDrained

from guardgraph.runtime.concurrency.abandoned import AbandonScope, redirect_calls, settle, start_in_daemon
from guardgraph.runtime.concurrency.shared_loop import start_on_shared_loop

__all__ = (
    "CancelToken",
    "TimedOut",
    "WorkCancelled",
    "arun_in_thread",
    "run_coroutine_blocking",
    "run_in_thread",
    "run_shielded",
    "wait_abandoning",
)

_GRACE = 0.4
_ENDING = (SystemExit, StopIteration, GeneratorExit, CancelledError, asyncio.CancelledError)


class TimedOut(Exception):
    """The work took longer than it may; it was abandoned."""


class WorkCancelled(GraphDrained):
    """The work was cancelled by its `CancelToken`: it has no result, and runs again when its thread is resumed."""


class CancelToken:
    """Cancels the work that it was given to, from any thread. What has ended by then keeps its result."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cancel: Callable[[], None] | None = None
        self._is_cancelled = False

    def cancel(self) -> None:
        """Cancel the work, now or as soon as it begins."""
        with self._lock:
            self._is_cancelled, cancel = True, self._cancel
        if cancel is not None:
            cancel()

    def bind(self, cancel: Callable[[], None]) -> None:
        """Set the function that cancels the work; it may be called more than once."""
        with self._lock:
            self._cancel, is_cancelled = cancel, self._is_cancelled
        if is_cancelled:
            cancel()


def run_in_thread(
    work: Callable[[], Any],
    *,
    timeout: float | None,
    context: Context | None = None,
    token: CancelToken | None = None,
) -> Any:
    """Do sync `work` (in `context`) in a daemon thread and wait for it, at most `timeout` seconds."""
    scope, done = _started(work, context or copy_context(), token)
    try:
        return _result(done, timeout)
    finally:
        _abandon_unless_ended(scope, done)


async def arun_in_thread(
    work: Callable[[], Any],
    *,
    timeout: float | None,
    context: Context | None = None,
    token: CancelToken | None = None,
) -> Any:
    """Do sync `work` (in `context`) in a daemon thread without blocking the event loop."""
    scope, done = _started(work, context or copy_context(), token)
    try:
        return await wait_abandoning(_wrapped(done), timeout=timeout)
    finally:
        _abandon_unless_ended(scope, done)


async def run_shielded(work: Callable[[], Any]) -> Any:
    """Do brief sync `work` in a thread, to its end also where the task that waits for it is cancelled meanwhile."""
    done = asyncio.wrap_future(_start(work, copy_context()))
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        done.exception()  # retrieved, or asyncio would log it
        raise cancelled
    return done.result()


def run_coroutine_blocking(
    work: Coroutine[Any, Any, Any],
    *,
    timeout: float | None,
    context: Context | None = None,
    token: CancelToken | None = None,
) -> Any:
    """Do async `work` for a sync caller, on one event loop that all such callers share in a daemon thread."""
    context, done = context or copy_context(), Future[Any]()
    scope, until = AbandonScope.begin(context), None if timeout is None else monotonic() + timeout

    async def body() -> None:
        try:
            settle(done, None, await wait_abandoning(work, timeout=None, context=context, token=token))
        except BaseException as error:  # raised where the result is waited for
            settle(done, error)

    task = start_on_shared_loop(body(), until)
    if task is None:
        work.close()
        raise TimedOut
    try:
        return _result(done, None if until is None else max(until - monotonic(), 0))
    except BaseException:  # it took too long, or its caller was interrupted
        if not done.done():
            scope.abandon()  # from here, since its loop may be blocked
        task.get_loop().call_soon_threadsafe(task.cancel)
        raise


async def wait_abandoning(
    work: Coroutine[Any, Any, Any],
    *,
    timeout: float | None,
    context: Context | None = None,
    token: CancelToken | None = None,
) -> Any:
    """Do async `work` (in `context`) and wait at most `timeout` seconds, even when it swallows its cancellation.

    Work that has not ended 0.4 s after it was cancelled is closed where it is suspended, so that its loop can be
    closed. That does not reach tasks that the work has started itself: if one of those swallows its cancellation,
    `asyncio.run` waits for it.
    """
    running = _AbandonableTask(work, context or copy_context(), token)
    try:
        finished, _ = await asyncio.wait({running.task}, timeout=timeout)
    except asyncio.CancelledError:
        running.abandon()
        raise
    if not finished:
        running.abandon()
        raise TimedOut
    if running.is_cancelled:
        raise WorkCancelled("cancelled")
    if running.task.cancelled():
        raise _ended(asyncio.CancelledError())
    return running.task.result()


class _AbandonableTask:
    """A task that resumes `work` until it is closed; then the work is not resumed, whatever it catches."""

    def __init__(self, work: Coroutine[Any, Any, Any], context: Context, token: CancelToken | None) -> None:
        self._work, self._is_closed, self.is_cancelled = work, False, False
        self._scope, self._loop = AbandonScope.begin(context), asyncio.get_running_loop()
        redirect_calls(self._loop)
        self.task = self._loop.create_task(self._run(), context=context)
        self.task.add_done_callback(self._clean_up, context=context)  # closing the work runs its code once more
        if token is not None:
            token.bind(self._cancel_threadsafe)

    def __await__(self) -> Generator[Any, Any, Any]:
        resume: Callable[[Any], Any] = self._work.send
        value: Any = None
        while True:
            try:
                awaited = resume(value)
            except StopIteration as end:
                return end.value
            except GeneratorExit as error:
                raise _ended(error) from error
            try:
                resume, value = self._work.send, (yield awaited)
            except GeneratorExit:  # its loop ends
                self._scope.abandon()
                self._close_work()
                raise
            except BaseException as error:
                if self._is_closed:
                    raise
                resume, value = self._work.throw, error

    def abandon(self) -> None:
        """Cancel the work, and close it if that does not end it soon."""
        self._scope.abandon()
        self.task.cancel()
        self._loop.call_later(_GRACE, self._close)

    def _cancel_threadsafe(self) -> None:
        with suppress(RuntimeError):  # its loop is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self.task.done():
            self.is_cancelled = True
            self.abandon()

    def _close(self) -> None:
        self._is_closed = True
        self.task.cancel()

    async def _run(self) -> Any:
        try:
            return await self
        except (SystemExit, CancelledError) as error:  # would end the event loop, or look like a cancellation
            raise _ended(error) from error

    def _close_work(self) -> None:
        with suppress(RuntimeError):  # it swallows that as well
            self._work.close()

    def _clean_up(self, task: asyncio.Task[Any]) -> None:
        self._close_work()  # where it was closed, or never began
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it where no caller is left


def _started(work: Callable[[], Any], context: Context, token: CancelToken | None) -> tuple[AbandonScope, Future[Any]]:
    """Start work that may be abandoned; a token that is used before it ends makes the future raise `WorkCancelled`."""
    scope, done = AbandonScope.begin(context), _start(work, context)
    if token is not None:
        token.bind(lambda: settle(done, WorkCancelled("cancelled")))
    return scope, done


def _start(work: Callable[[], Any], context: Context) -> Future[Any]:
    return start_in_daemon(partial(context.run, partial(_contained, work)))


def _contained(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except _ENDING as error:
        raise _ended(error) from error


def _abandon_unless_ended(scope: AbandonScope, done: Future[Any]) -> None:
    if not done.done() or isinstance(done.exception(), WorkCancelled):
        scope.abandon()


def _ended(error: BaseException) -> RuntimeError:
    """Return an ordinary error in place of one that would end more than the work that raised it."""
    return RuntimeError(f"the work raised {error!r}")


def _result(done: Future[Any], timeout: float | None) -> Any:
    try:
        return done.result(timeout)
    except FutureTimeout:
        if not done.done():
            raise TimedOut from None
        return done.result()  # it ended just now, or has raised a TimeoutError of its own


async def _wrapped(done: Future[Any]) -> Any:
    return await asyncio.wrap_future(done)
