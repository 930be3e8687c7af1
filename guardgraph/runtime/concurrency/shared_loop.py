"""One event loop for the async agents of all sync callers, in a daemon thread; replaced while it is blocked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Lock, Thread
from time import monotonic
from typing import Any

__all__ = ("start_on_shared_loop",)

_LONGEST_WAIT = 5.0
_loop: asyncio.AbstractEventLoop | None = None
_LOOP_LOCK = Lock()


def start_on_shared_loop(coroutine: Coroutine[Any, Any, None], until: float | None) -> asyncio.Task[None] | None:
    """Start `coroutine` on the shared loop, or on a new one that replaces it where that loop stays blocked.

    Half of the time `until` then (on the monotonic clock) is spent on waiting for a blocked loop, at most 5 s: clients
    keep connections on the loop that they know. Return `None` where none was free in time.
    """
    loop = _shared_loop()
    while until is None or monotonic() < until:
        started: Future[asyncio.Task[None]] = Future()
        try:
            loop.call_soon_threadsafe(_start, coroutine, started)
            return started.result(_LONGEST_WAIT if until is None else min(_LONGEST_WAIT, (until - monotonic()) / 2))
        except RuntimeError:  # the loop was closed just now
            pass
        except FutureTimeout:
            if not started.cancel():
                return started.result()
        loop = _shared_loop(instead_of=loop)
    coroutine.close()
    return None


def _start(coroutine: Coroutine[Any, Any, None], started: Future[asyncio.Task[None]]) -> None:
    if started.set_running_or_notify_cancel():  # else it has started on another loop
        started.set_result(asyncio.get_running_loop().create_task(coroutine))


def _shared_loop(*, instead_of: asyncio.AbstractEventLoop | None = None) -> asyncio.AbstractEventLoop:
    global _loop
    with _LOOP_LOCK:
        if _loop is None or _loop is instead_of:
            if _loop is not None:
                _loop.call_soon_threadsafe(_stop_when_idle, _loop)
            _loop = asyncio.new_event_loop()
            Thread(target=_serve, args=(_loop,), daemon=True, name="guardgraph-loop").start()
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


def _stop_when_idle(loop: asyncio.AbstractEventLoop) -> None:
    """Stop a loop that was replaced once all that has started on it has ended."""
    tasks = asyncio.all_tasks(loop)
    if tasks:
        next(iter(tasks)).add_done_callback(lambda _: _stop_when_idle(loop))
    else:
        loop.stop()
