"""Limits how many agents work at a time.

Slots are not bound to a thread or an event loop. An agent that enters a nested team releases its slots while the
agents of that team work, so a limit over the whole tree cannot deadlock; before it continues it takes them again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from threading import Lock
from time import monotonic

from guardgraph.runtime.concurrency.conditions import OneShotEvent

__all__ = ("ConcurrencyLimiter", "SlotToken")


class ConcurrencyLimiter:
    """At most `limit` holders at a time, first come, first served; `None` sets no limit."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._free = limit or 0
        self._waiting: deque[Future[None]] = deque()
        self._lock = Lock()

    def queue(self) -> Future[None] | None:
        """Take a slot if one is free, else return a future that is done once one was taken; it may be cancelled."""
        with self._lock:
            if self.limit is None or self._free:
                self._free -= 1
                return None
            granted: Future[None] = Future()
            self._waiting.append(granted)
            return granted

    def give(self) -> None:
        """Release a slot; the longest waiting claim gets it."""
        with self._lock:
            granted = self._first()
            if granted is None:
                self._free += 1
                return
        granted.set_result(None)  # its callbacks may release a slot themselves

    def _first(self) -> Future[None] | None:
        while self._waiting:
            granted = self._waiting.popleft()
            if granted.set_running_or_notify_cancel():
                return granted
        return None


class _Claim:
    """A claim on some slots, which are taken one after the other, without a waiting thread.

    A holder of the last slot, that of the outermost team, waits for no other: so claims cannot deadlock.
    """

    def __init__(self, slots: tuple[ConcurrencyLimiter, ...], *, taken: int = 0) -> None:
        self.slots, self.settled = slots, OneShotEvent()
        """`settled` happens once all are taken, or the claim is dropped."""
        self._count, self._is_dropped = taken, False
        self._granted: Future[None] | None = None
        self._lock = Lock()
        self._take_next()

    @property
    def holds_all(self) -> bool:
        """Whether all slots are taken."""
        return self._count == len(self.slots) and not self._is_dropped

    def drop(self, *, keep: tuple[ConcurrencyLimiter, ...] = ()) -> None:
        """Release all slots but those to `keep`, which pass to another claim, and wait for no more."""
        with self._lock:
            if self._is_dropped:
                return
            self._is_dropped = True
        if self._granted is not None:
            self._granted.cancel()
        for slots in self.slots[: self._count]:
            if slots not in keep:
                slots.give()
        self.settled.happen()

    def _take_next(self) -> None:
        with self._lock:
            if self._is_dropped:
                return
            self._granted = None
            while self._count < len(self.slots) and self._granted is None:
                self._granted = self.slots[self._count].queue()
                self._count += self._granted is None
            granted = self._granted
        if granted is None:
            self.settled.happen()
        else:
            granted.add_done_callback(self._slot_granted)

    def _slot_granted(self, granted: Future[None]) -> None:
        if granted.cancelled():
            return
        with self._lock:
            is_late = self._is_dropped
            self._count += not is_late
        if is_late:
            self.slots[self._count].give()
        else:
            self._take_next()


class SlotToken:
    """One agent's hold on the slots of its team and of the teams above it (`slots`, innermost first)."""

    def __init__(
        self, slots: tuple[ConcurrencyLimiter, ...], above: SlotToken | None = None, until: float | None = None
    ) -> None:
        """`above` is that of the agent whose code runs the team; `until` (monotonic) is when its work ends."""
        self.slots, self.above, self.until = slots, above, until
        self._claim: _Claim | None = None
        self._lent = 0
        self._has_borrowed = False
        self._has_ended = False
        self._lock = Lock()

    @property
    def is_orphan(self) -> bool:
        """Whether an agent above has ended, so that this one is not waited for."""
        return self.above is not None and (self.above._has_ended or self.above.is_orphan)

    def take(self, timeout: float | None = None) -> bool:
        """Wait for all slots; return whether they were taken within `timeout` seconds."""
        claim = self._claimed()
        claim.settled.wait(timeout)
        return self._has(claim)

    async def atake(self, timeout: float | None = None) -> bool:
        """Do as `take` without blocking the event loop."""
        claim = self._claimed()
        try:
            await claim.settled.await_(timeout)
        except asyncio.CancelledError:
            self.pause()
            raise
        return self._has(claim)

    def pause(self) -> None:
        """Release the slots, to take them again later."""
        with self._lock:
            claim, self._claim = self._claim, None
        if claim is not None:
            claim.drop()

    def give(self) -> None:
        """Release the slots for good.

        The last agent below one that lent its slots waits until that one has them again, or has ended: the code that
        continues then is its code.
        """
        back = self._end()
        if back is not None:
            back.settled.wait(self._remaining)

    async def agive(self) -> None:
        """Do as `give` without blocking the event loop."""
        back = self._end()
        if back is not None:
            await back.settled.await_(self._remaining)

    def lend(self) -> None:
        """Release the slots while an agent further down works."""
        with self._lock:
            self._lent += 1
        self.pause()

    def reclaim(self, offered: _Claim | None) -> _Claim | None:
        """Take again what was lent, once the last agent further down has ended; the slots it holds pass over."""
        with self._lock:
            self._lent -= 1
            if self._lent or self._has_ended:
                return None
            passes = offered is not None and offered.holds_all and set(self.slots) <= set(offered.slots)
            self._claim = _Claim(self.slots, taken=len(self.slots) if passes else 0)
            if passes and offered is not None:
                offered.drop(keep=self.slots)
            return self._claim

    def _end(self) -> _Claim | None:
        """End the hold; return the claim of the agent above, where that one takes its slots again."""
        with self._lock:
            if self._has_ended:
                return None
            self._has_ended = True
            claim, self._claim = self._claim, None
        if claim is not None and not claim.holds_all:
            claim.drop()
        back = self.above.reclaim(claim) if self.above is not None and self._has_borrowed else None
        if claim is not None:
            claim.drop()
        return back

    @property
    def _remaining(self) -> float | None:
        """Seconds until the agent above has to end."""
        until = self.above.until if self.above is not None else None
        return None if until is None else max(until - monotonic(), 0)

    def _claimed(self) -> _Claim:
        if self.above is not None and not self._has_borrowed:
            self._has_borrowed = True
            self.above.lend()
        claim = self._claim = _Claim(self.slots)
        return claim

    def _has(self, claim: _Claim) -> bool:
        if not claim.holds_all:
            self.pause()
        return claim.holds_all
