"""Waiting until something has changed, from threads and from event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from threading import Event as Flag
from threading import Lock
from typing import TypeVar

__all__ = ("ChangeCondition", "OneShotEvent")

_AT_MOST = 0.5
_T = TypeVar("_T")


class OneShotEvent:
    """Something that happens once; all who wait for it, in threads or on event loops, are woken in their order."""

    def __init__(self) -> None:
        self._happened = False
        self._wakes: dict[Callable[[], object], None] = {}
        self._lock = Lock()

    def done(self) -> bool:
        """Return whether it has happened."""
        return self._happened

    def happen(self) -> None:
        """Wake all who wait; a second time does nothing."""
        with self._lock:
            self._happened = True
            wakes, self._wakes = self._wakes, {}
        for wake in wakes:
            wake()

    def wait(self, timeout: float | None) -> bool:
        """Wait at most `timeout` seconds (`None` sets no limit); return whether it has happened."""
        if not self._happened:
            woken = Flag()
            with self._waking(woken.set):
                woken.wait(timeout)
        return self._happened

    async def await_(self, timeout: float | None) -> bool:
        """Do as `wait` without blocking the event loop."""
        if not self._happened:
            loop, woken = asyncio.get_running_loop(), asyncio.Event()

            def wake() -> None:
                with suppress(RuntimeError):  # the loop was closed meanwhile
                    loop.call_soon_threadsafe(woken.set)

            with self._waking(wake), suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), timeout)
        return self._happened

    @contextmanager
    def _waking(self, wake: Callable[[], object]) -> Generator[None]:
        """Call `wake` once it happens, or at once if it has happened meanwhile."""
        with self._lock:
            self._wakes[wake] = None
            happened = self._happened
        if happened:
            wake()
        try:
            yield
        finally:
            with self._lock:
                self._wakes.pop(wake, None)


class ChangeCondition:
    """Wakes all who wait when something has changed.

    Changes made by other processes are not reported: they are polled every half second.
    """

    def __init__(self) -> None:
        self._next: OneShotEvent | None = None
        self._lock = Lock()

    def next_change(self) -> OneShotEvent:
        """Return the event of the next change."""
        with self._lock:
            self._next = self._next or OneShotEvent()
            return self._next

    def notify_all(self) -> None:
        """Wake all who wait: something has changed."""
        with self._lock:
            change, self._next = self._next, None
        if change is not None:
            change.happen()

    def wait_for(self, look: Callable[[], _T], is_settled: Callable[[_T], bool]) -> _T:
        """Call `look` now and after every change, until what it returns is settled; return that."""
        change: OneShotEvent | None = None
        while True:
            seen = look()
            if is_settled(seen):
                return seen
            if change is not None:
                change.wait(_AT_MOST)
            change = self.next_change()  # before looking again: so no change is missed

    async def await_for(self, look: Callable[[], Awaitable[_T]], is_settled: Callable[[_T], bool]) -> _T:
        """Do as `wait_for` without blocking the event loop."""
        change: OneShotEvent | None = None
        while True:
            seen = await look()
            if is_settled(seen):
                return seen
            if change is not None:
                await change.await_(_AT_MOST)
            change = self.next_change()
