"""Running an agent's work apart, so that a hung one neither blocks its team nor keeps the process alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from contextvars import Context, copy_context
from threading import Lock, Thread
from time import monotonic
from typing import Any

from langgraph.errors import GraphDrained

from guardgraph.runtime.concurrency.abandoned import AbandonScope, redirect_calls, run_in_daemon

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
_PATIENCE = 5.0
_ENDING = (SystemExit, StopIteration, GeneratorExit, CancelledError, asyncio.CancelledError)
_loop: asyncio.AbstractEventLoop | None = None
_LOOP_LOCK = Lock()


class TimedOut(Exception):
    """The work took longer than it may; it was left behind."""


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
        """Say what cancels the work; it may be called more than once."""
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
        return _wait(done, timeout)
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
    """Do brief sync `work` in a thread, to its end also where the one who waits is cancelled meanwhile."""
    done = asyncio.wrap_future(_start(work, copy_context()))
    cancelled: asyncio.CancelledError | None = None
    while not done.done():
        try:
            await asyncio.wait([done])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        done.exception()  # nobody looks at it any more
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
    done: Future[Any] = Future()
    until = None if timeout is None else monotonic() + timeout
    leash = _begun(work, context or copy_context(), done, until)
    leash.bind(token)
    timeout = None if until is None else max(until - monotonic(), 0)
    try:
        return _wait(done, timeout)
    except BaseException:  # the time is over, or the one who waits was interrupted
        if not done.done():
            leash.scope.abandon()  # from here, since its loop may be blocked
        leash.task.get_loop().call_soon_threadsafe(leash.let_go)
        raise


async def wait_abandoning(
    work: Coroutine[Any, Any, Any],
    *,
    timeout: float | None,
    context: Context | None = None,
    token: CancelToken | None = None,
) -> Any:
    """Do async `work` (in `context`) and wait at most `timeout` seconds, even when it swallows its cancellation.

    Work that still goes on 0.4 s after it was cancelled is ended where it stands, so that its loop can be closed. That
    does not reach tasks that the work has started itself: if one of those swallows its cancellation, `asyncio.run`
    waits for it.
    """
    leash = _Leash(work, context or copy_context())
    leash.bind(token)
    try:
        finished, _ = await asyncio.wait({leash.task}, timeout=timeout)
    except asyncio.CancelledError:
        leash.let_go()
        raise
    if not finished:
        leash.let_go()
        raise TimedOut
    if leash.is_cancelled:
        raise WorkCancelled("cancelled")
    if leash.task.cancelled():
        raise _ended(asyncio.CancelledError())
    return leash.task.result()


class _Leash:
    """A task that gives `work` its turns until it is cut; then the work gets no more, whatever it catches."""

    def __init__(self, work: Coroutine[Any, Any, Any], context: Context) -> None:
        self._work, self._is_cut, self.is_cancelled = work, False, False
        self.scope = AbandonScope.begin(context)
        loop = asyncio.get_running_loop()
        redirect_calls(loop)
        self.task = loop.create_task(self._hold(), context=context)
        self.task.add_done_callback(self._close, context=context)  # where it is closed, its code runs once more

    def __await__(self) -> Generator[Any, Any, Any]:
        turn: Callable[[Any], Any] = self._work.send
        given: Any = None
        while True:
            try:
                awaited = turn(given)
            except StopIteration as end:
                return end.value
            except GeneratorExit as error:
                raise _ended(error) from error
            try:
                turn, given = self._work.send, (yield awaited)
            except GeneratorExit:  # its loop ends
                self.scope.abandon()
                self._end()
                raise
            except BaseException as error:
                if self._is_cut:
                    raise
                turn, given = self._work.throw, error

    def bind(self, token: CancelToken | None) -> None:
        """Let a token cancel the work."""
        loop = self.task.get_loop()

        def cancel() -> None:
            with suppress(RuntimeError):  # its loop is closed
                loop.call_soon_threadsafe(self._cancel)

        if token is not None:
            token.bind(cancel)

    def _cancel(self) -> None:
        if not self.task.done():
            self.is_cancelled = True
            self.let_go()

    def let_go(self) -> None:
        """Cancel the work, and cut it off if that does not end it soon."""
        self.scope.abandon()
        self.task.cancel()
        self.task.get_loop().call_later(_GRACE, self._cut)

    def _cut(self) -> None:
        self._is_cut = True
        self.task.cancel()

    async def _hold(self) -> Any:
        try:
            return await self
        except SystemExit as error:  # would end the event loop
            raise _ended(error) from error

    def _end(self) -> None:
        with suppress(RuntimeError):  # it swallows that as well
            self._work.close()

    def _close(self, task: asyncio.Task[Any]) -> None:
        self._end()  # where it was cut, or never begun
        if not task.cancelled():
            task.exception()  # nobody may be left to look at it


def _started(work: Callable[[], Any], context: Context, token: CancelToken | None) -> tuple[AbandonScope, Future[Any]]:
    """Begin work that may be abandoned; a token that is used before it ends makes the future raise `WorkCancelled`."""
    scope, done = AbandonScope.begin(context), _start(work, context)
    if token is not None:
        token.bind(lambda: _settle(done, WorkCancelled("cancelled")))
    return scope, done


def _start(work: Callable[[], Any], context: Context) -> Future[Any]:
    done: Future[Any] = Future()
    done.set_running_or_notify_cancel()  # it cannot be cancelled: a thread has no way to be

    def body() -> None:
        try:
            result = context.run(work)
        except _ENDING as error:
            _settle(done, _ended(error))
        except BaseException as error:  # raised where the result is waited for
            _settle(done, error)
        else:
            _settle(done, None, result)

    run_in_daemon(body)
    return done


def _settle(done: Future[Any], error: BaseException | None, result: Any = None) -> None:
    """End a future, unless it has ended."""
    with suppress(InvalidStateError):
        done.set_result(result) if error is None else done.set_exception(error)


def _abandon_unless_ended(scope: AbandonScope, done: Future[Any]) -> None:
    if not done.done() or isinstance(done.exception(), WorkCancelled):
        scope.abandon()


def _ended(error: BaseException) -> RuntimeError:
    """Return an ordinary error in place of one that would end more than the work that raised it."""
    return RuntimeError(f"the work raised {error!r}")


def _wait(done: Future[Any], timeout: float | None) -> Any:
    try:
        return done.result(timeout)
    except FutureTimeout:
        if not done.done():
            raise TimedOut from None
        return done.result()  # it is back just now, or has raised a TimeoutError of its own


async def _wrapped(done: Future[Any]) -> Any:
    return await asyncio.wrap_future(done)


def _copy(leash: _Leash, task: asyncio.Task[Any], done: Future[Any]) -> None:
    if leash.is_cancelled:
        if not task.cancelled():
            task.exception()  # nobody looks at it any more
        done.set_exception(WorkCancelled("cancelled"))
    elif task.cancelled():
        done.set_exception(_ended(asyncio.CancelledError()))
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())


def _begun(work: Coroutine[Any, Any, Any], context: Context, done: Future[Any], until: float | None) -> _Leash:
    """Begin `work` on the shared loop; on another one, from now on the shared one, where that loop stays blocked.

    Half of the time is spent on waiting for it, at most 5 s: clients keep connections on the loop that they know.
    """
    loop = _shared_loop()
    while until is None or monotonic() < until:
        patience = _PATIENCE if until is None else min(_PATIENCE, (until - monotonic()) / 2)
        begun: Future[_Leash] = Future()
        try:
            loop.call_soon_threadsafe(_begin, work, context, begun, done)
            return begun.result(patience)
        except RuntimeError:  # it was closed just now
            pass
        except FutureTimeout:
            if not begun.cancel():
                return begun.result()
        loop = _shared_loop(instead_of=loop)
    work.close()
    raise TimedOut


def _begin(work: Coroutine[Any, Any, Any], context: Context, begun: Future[_Leash], done: Future[Any]) -> None:
    if begun.set_running_or_notify_cancel():  # else it has begun on another loop
        leash = _Leash(work, context)
        leash.task.add_done_callback(lambda task: _copy(leash, task, done))
        begun.set_result(leash)


def _shared_loop(*, instead_of: asyncio.AbstractEventLoop | None = None) -> asyncio.AbstractEventLoop:
    global _loop
    with _LOOP_LOCK:
        if _loop is None or _loop is instead_of:
            if _loop is not None:
                _loop.call_soon_threadsafe(_retire, _loop)
            _loop = asyncio.new_event_loop()
            Thread(target=_serve, args=(_loop,), daemon=True, name="guardgraph-loop").start()
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _retire(loop: asyncio.AbstractEventLoop) -> None:
    """Stop a loop that is shared no more once all that has begun on it has ended."""
    under_way = asyncio.all_tasks(loop)
    if under_way:
        next(iter(under_way)).add_done_callback(lambda _: _retire(loop))
    else:
        loop.stop()
