"""Scopes of abandoned work, so that neither a closing loop nor a process that ends waits for it.

Two joins would wait for a sync call that hangs. `asyncio.run` joins the loop's default pool: there only a waiter
runs, which ends when the work is abandoned; the call itself is made on a daemon thread. And `concurrent.futures`
joins all threads of pools when the interpreter exits, daemon or not: a hook that runs before takes the daemon ones out.
For that it takes two private names of the standard library; without one of them nothing breaks, but the process waits.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, InvalidStateError, thread, wait
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from functools import cache, partial
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any
from weakref import WeakSet

__all__ = ("AbandonScope", "redirect_calls", "settle", "start_in_daemon")

_GRACE = 0.4
"""Seconds for which a sync call of abandoned work is waited for: as long as a coroutine may clean up."""
_EXIT_GRACE = 2.0
"""Seconds for which daemon threads of pools are waited for at exit, where abandoned work may hang in one."""


class AbandonScope:
    """All that is done for one agent, in any thread, until its work is abandoned."""

    def __init__(self, parent: AbandonScope | None) -> None:
        self._above: tuple[AbandonScope, ...] = () if parent is None else parent._chain
        self._is_abandoned = False
        self._events: set[Event] = set()
        self._lock = Lock()

    @classmethod
    def begin(cls, context: Context) -> AbandonScope:
        """Return a new scope for what runs in `context`, within the one that the context has so far."""
        scope = cls(context.get(_SCOPE))
        context.run(_SCOPE.set, scope)
        return scope

    @property
    def _chain(self) -> tuple[AbandonScope, ...]:
        return (self, *self._above)  # not kept: an object that holds itself is left to the garbage collector

    @property
    def is_abandoned(self) -> bool:
        """Whether this work, or work that it is part of, was abandoned."""
        return any(scope._is_abandoned for scope in self._chain)

    def abandon(self) -> None:
        """Stop all waiting for this work."""
        with self._lock:
            self._is_abandoned = True
            events = tuple(self._events)
        for event in events:
            event.set()
        _ABANDONED.add(self)
        _hook_exit()

    @contextmanager
    def waking(self, woken: Event) -> Generator[None]:
        """Set `woken` when this work, or work that it is part of, is abandoned."""
        for scope in self._chain:
            with scope._lock:
                scope._events.add(woken)
        if self.is_abandoned:
            woken.set()
        try:
            yield
        finally:
            for scope in self._chain:
                with scope._lock:
                    scope._events.discard(woken)


_SCOPE: ContextVar[AbandonScope | None] = ContextVar("guardgraph_scope", default=None)
_ABANDONED: WeakSet[AbandonScope] = WeakSet()
"""What was abandoned and may still run: the context of a thread that works for it keeps it alive."""


class _RunInExecutor:
    """A loop's `run_in_executor` whose default pool only waits for a call, where an agent's work makes that call."""

    def __init__(self, plain: Callable[..., Any]) -> None:
        self._plain = plain

    def __call__(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        scope = _SCOPE.get() if executor is None else None
        if scope is None:
            return self._plain(executor, func, *args)
        call = _Call(scope, partial(func, *args))
        call.future = self._plain(None, call)
        return call.future


class _Call:
    """A sync call that is made on a daemon thread, and waited for no longer than for the work that has made it."""

    def __init__(self, scope: AbandonScope, function: Callable[[], Any]) -> None:
        self._scope, self._function = scope, function
        self.future: asyncio.Future[Any] | None = None

    def __call__(self) -> Any:
        woken = Event()
        with self._scope.waking(woken):
            done = start_in_daemon(self._function)
            done.add_done_callback(lambda _: woken.set())
            woken.wait()
        if not done.done():
            wait([done], _GRACE)
        if done.done():
            return done.result()
        if self.future is not None:
            with suppress(RuntimeError):  # its loop is closed
                self.future.get_loop().call_soon_threadsafe(self.future.cancel)
        return None


_BUSY = "guardgraph-agent"


class _Worker(Thread):
    """A daemon thread that makes one call after the other: to start one for each call costs five times as much."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name=_BUSY)
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self) -> None:
        """Make calls, until enough others are idle."""
        while True:
            call = self.calls.get()
            self.name = _BUSY
            call()
            del call
            if len(_IDLE) >= _MOST_IDLE:
                return
            self.name = "guardgraph-idle"
            _IDLE.append(self)


_MOST_IDLE = 32
_IDLE: list[_Worker] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_IDLE.clear)  # the threads stay with the parent


def _run_in_daemon(call: Callable[[], None]) -> None:
    """Make `call`, which must not raise, on a daemon thread: an idle one if there is one."""
    try:
        worker = _IDLE.pop()
    except IndexError:
        worker = _Worker()
        worker.start()
    worker.calls.put(call)


def start_in_daemon(work: Callable[[], Any]) -> Future[Any]:
    """Do `work` on a daemon thread; return its future, which cannot be cancelled, as a thread cannot."""
    done: Future[Any] = Future()
    done.set_running_or_notify_cancel()

    def call() -> None:
        try:
            settle(done, None, work())
        except BaseException as error:  # raised where the result is waited for
            settle(done, error)

    _run_in_daemon(call)
    return done


def settle(done: Future[Any], error: BaseException | None, result: Any = None) -> None:
    """End a future, unless it has ended."""
    with suppress(InvalidStateError):
        done.set_result(result) if error is None else done.set_exception(error)


def redirect_calls(loop: asyncio.AbstractEventLoop) -> None:
    """Have `loop` wait no longer for a sync call in its default pool than for the agent's work that has made it.

    Its pool stays what it is, and bounds as before how many calls are made at a time; calls from outside of agents, and
    calls in a pool that is named, are not touched.
    """
    if isinstance(loop.run_in_executor, _RunInExecutor):
        return
    try:
        setattr(loop, "run_in_executor", _RunInExecutor(loop.run_in_executor))  # noqa: B010 - a method, for the types
    except AttributeError:  # another implementation, which takes no attributes
        return


@cache
def _hook_exit() -> None:
    """Have the hook run before `concurrent.futures` joins: what was registered last is called first."""
    register: Any = getattr(threading, "_register_atexit", None)
    if register is not None:
        try:
            register(_release_pool_threads)
        except RuntimeError:  # the interpreter exits just now
            return


def _release_pool_threads() -> None:
    """Take the daemon threads of pools out of the join at exit, where one of them may hang in abandoned work.

    An agent's work runs on daemon threads, so that the pools it opens have daemon threads too. Their other calls
    get two seconds to end.
    """
    joined: Any = getattr(thread, "_threads_queues", None)
    if joined is None or not _ABANDONED:
        return
    until = monotonic() + _EXIT_GRACE
    for pooled in [one for one in list(joined) if one.daemon]:
        pooled.join(max(until - monotonic(), 0))
        joined.pop(pooled, None)
