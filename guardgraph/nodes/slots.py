"""How many agents work at a time.

Slots are not bound to a thread or an event loop. An agent that enters a nested team hands its slot back while the
agents of that team work, so a cap over the whole tree cannot deadlock.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from threading import Lock
from time import monotonic

__all__ = ("Slots", "Ticket")


class Slots:
    """At most `limit` holders at a time, first come, first served; `None` sets no limit."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._free = limit or 0
        self._waiting: deque[Future[None]] = deque()
        self._lock = Lock()

    def take(self, timeout: float | None = None) -> bool:
        """Wait for a slot, at most `timeout` seconds; tell whether it was had."""
        turn = self._queue()
        if turn is None:
            return True
        try:
            turn.result(timeout)
        except FutureTimeout:
            return not turn.cancel()
        return True

    async def atake(self, timeout: float | None = None) -> bool:
        """Do as `take` without blocking the event loop."""
        turn = self._queue()
        if turn is None:
            return True
        try:
            await asyncio.wait_for(asyncio.wrap_future(turn), timeout)
        except TimeoutError:
            return not (turn.cancelled() or turn.cancel())
        except asyncio.CancelledError:
            if not (turn.cancelled() or turn.cancel()):
                self.give()
            raise
        return True

    def give(self) -> None:
        """Hand a slot back; the one who waits longest gets it."""
        if self.limit is None:
            return
        with self._lock:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.set_running_or_notify_cancel():
                    turn.set_result(None)
                    return
            self._free += 1

    def _queue(self) -> Future[None] | None:
        if self.limit is None:
            return None
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            turn: Future[None] = Future()
            self._waiting.append(turn)
            return turn


class Ticket:
    """One agent's hold on the slots of its team and of the teams above it (`slots`, innermost first)."""

    def __init__(self, slots: tuple[Slots, ...], above: Ticket | None = None) -> None:
        self.slots, self.above = slots, above
        self._held: tuple[Slots, ...] = ()
        self._lent = 0
        self._has_borrowed = False
        self._over = False
        self._lock = Lock()

    def take(self, timeout: float | None = None) -> bool:
        """Wait for all slots; tell whether they were had within `timeout` seconds."""
        self._lend_above()
        until = None if timeout is None else monotonic() + timeout
        for slots in self.slots:
            if not slots.take(_rest(until)):
                self.give()
                return False
            self._held = (*self._held, slots)
        return True

    async def atake(self, timeout: float | None = None) -> bool:
        """Do as `take` without blocking the event loop."""
        self._lend_above()
        until = None if timeout is None else monotonic() + timeout
        try:
            for slots in self.slots:
                if not await slots.atake(_rest(until)):
                    self.give()
                    return False
                self._held = (*self._held, slots)
        except asyncio.CancelledError:
            self.give()
            raise
        return True

    def pause(self) -> None:
        """Hand the slots to whoever waits for one, and take them anew later."""
        with self._lock:
            held, self._held = self._held, ()
        for slots in held:
            slots.give()

    def give(self) -> None:
        """Hand back what is held for good: what an agent above lent goes back to it, the rest to whoever waits."""
        with self._lock:
            if self._over:
                return
            self._over = True
            held, self._held = self._held, ()
        kept = self.above.reclaim(held) if self.above and self._has_borrowed else ()
        for slots in held:
            if slots not in kept:
                slots.give()

    def lend(self) -> None:
        """Hand the slots back while an agent further down works."""
        with self._lock:
            self._lent += 1
        self.pause()

    def reclaim(self, offered: tuple[Slots, ...]) -> tuple[Slots, ...]:
        """Take back, from the last agent further down, what was lent to it; return what was taken."""
        with self._lock:
            self._lent -= 1
            if self._lent or self._over:
                return ()
            self._held = tuple(slots for slots in self.slots if slots in offered)
            return self._held

    def _lend_above(self) -> None:
        if self.above is not None and not self._has_borrowed:
            self._has_borrowed = True
            self.above.lend()


def _rest(until: float | None) -> float | None:
    return None if until is None else max(until - monotonic(), 0)
