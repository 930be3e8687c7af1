"""Waiting until something has changed, from threads and from event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Lock
from typing import TypeVar

__all__ = ("Notice",)

_AT_MOST = 0.5
_T = TypeVar("_T")


class Notice:
    """Wakes everybody who waits when something has changed.

    What other processes change nobody tells: it is looked at every half second.
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

    def until(self, look: Callable[[], _T], is_settled: Callable[[_T], bool]) -> _T:
        """Look now and after every change, until what is seen is settled; return it."""
        while True:
            turn = self.turn()  # before looking: so no change is missed
            seen = look()
            if is_settled(seen):
                return seen
            self.wait(turn, _AT_MOST)

    async def auntil(self, look: Callable[[], _T], is_settled: Callable[[_T], bool]) -> _T:
        """Do as `until` without blocking the event loop."""
        while True:
            turn = self.turn()
            seen = look()
            if is_settled(seen):
                return seen
            await self.await_(turn, _AT_MOST)

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
