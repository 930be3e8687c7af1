"""Waiting until something has changed, from threads and from event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Event as Flag
from threading import Lock
from typing import TypeVar

__all__ = ("ChangeCondition", "OneShotEvent")

_AT_MOST = 0.5
_T = TypeVar("_T")


class OneShotEvent:
    """Something that happens once; whoever waits for it, in a thread or on an event loop, is woken."""

    def __init__(self) -> None:
        self._happened = Flag()
        self._wakes: set[Callable[[], None]] = set()
        self._lock = Lock()

    def done(self) -> bool:
        """Tell whether it has happened."""
        return self._happened.is_set()

    def happen(self) -> None:
        """Wake all who wait; a second time does nothing."""
        with self._lock:
            self._happened.set()
            wakes, self._wakes = self._wakes, set()
        for wake in wakes:
            wake()

    def wait(self, timeout: float | None) -> bool:
        """Wait at most `timeout` seconds (`None` sets no limit); tell whether it has happened."""
        return self._happened.wait(timeout)

    async def await_(self, timeout: float | None) -> bool:
        """Do as `wait` without blocking the event loop."""
        loop, woken = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(woken.set)

        with self._lock:
            if self._happened.is_set():
                return True
            self._wakes.add(wake)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), timeout)
        finally:
            with self._lock:
                self._wakes.discard(wake)
        return self._happened.is_set()


class ChangeCondition:
    """Wakes everybody who waits when something has changed.

    What other processes change nobody tells: it is looked at every half second.
    """

    def __init__(self) -> None:
        self._next = OneShotEvent()
        self._lock = Lock()

    def turn(self) -> OneShotEvent:
        """Return what happens at the next change."""
        with self._lock:
            return self._next

    def notify_all(self) -> None:
        """Say that something has changed."""
        with self._lock:
            turn, self._next = self._next, OneShotEvent()
        turn.happen()

    def wait_for(self, look: Callable[[], _T], is_settled: Callable[[_T], bool]) -> _T:
        """Look now and after every change, until what is seen is settled; return it."""
        while True:
            turn = self.turn()  # before looking: so no change is missed
            seen = look()
            if is_settled(seen):
                return seen
            turn.wait(_AT_MOST)

    async def await_for(self, look: Callable[[], Awaitable[_T]], is_settled: Callable[[_T], bool]) -> _T:
        """Do as `wait_for` without blocking the event loop."""
        while True:
            turn = self.turn()
            seen = await look()
            if is_settled(seen):
                return seen
            await turn.await_(_AT_MOST)
