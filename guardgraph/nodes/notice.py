"""Waiting until something has changed, from threads and from event loops."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Lock

__all__ = ("Notice",)


class Notice:
    """Wakes everybody who waits when something has changed.

    Ask for `turn()` *before* looking at what may change, then wait for it: so no change is missed.
    """

    def __init__(self) -> None:
        self._next: Future[None] = Future()
        self._lock = Lock()

    def turn(self) -> Future[None]:
        """Return what is done at the next change."""
        with self._lock:
            return self._next

    def tell(self) -> None:
        """Say that something has changed."""
        with self._lock:
            turn, self._next = self._next, Future()
        turn.set_result(None)

    @staticmethod
    def wait(turn: Future[None], timeout: float) -> None:
        """Wait for a change, at most `timeout` seconds."""
        try:
            turn.result(timeout)
        except FutureTimeout:
            return

    @staticmethod
    async def await_(turn: Future[None], timeout: float) -> None:
        """Do as `wait` without blocking the event loop."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        turn.add_done_callback(lambda _: None if loop.is_closed() else loop.call_soon_threadsafe(done.set))
        try:
            await asyncio.wait_for(done.wait(), timeout)
        except TimeoutError:
            return
