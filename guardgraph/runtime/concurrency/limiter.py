"""How many agents work at a time.

Slots are not bound to a thread or an event loop. An agent that enters a nested team hands its slots back while the
agents of that team work, so a cap over the whole tree cannot deadlock; before it goes on it takes them anew.
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
        """Hand a slot back; the one who waits longest gets it."""
        with self._lock:
            granted = self._first()
            if granted is None:
                self._free += 1
                return
        granted.set_result(None)  # its callbacks may hand back a slot in turn

    def _first(self) -> Future[None] | None:
        while self._waiting:
            granted = self._waiting.popleft()
            if granted.set_running_or_notify_cancel():
                return granted
        return None


class _Claim:
    """A claim on some slots, which are taken one after the other, without a thread that waits for them.

    A holder of the last ones, those of the outermost team, waits for none: so claims cannot wait for each other.
    """

    def __init__(self, slots: tuple[ConcurrencyLimiter, ...], *, had: int = 0) -> None:
        self.slots, self.settled = slots, OneShotEvent()
        """`settled` happens once all are taken, or the claim is dropped."""
        self._had, self._is_dropped = had, False
        self._granted: Future[None] | None = None
        self._lock = Lock()
        self._take_next()

    @property
    def holds_all(self) -> bool:
        """Whether all slots are had."""
        return self._had == len(self.slots) and not self._is_dropped

    def drop(self, *, keep: tuple[ConcurrencyLimiter, ...] = ()) -> None:
        """Hand back all slots but those to `keep`, which pass to somebody else, and wait for no more."""
        with self._lock:
            if self._is_dropped:
                return
            self._is_dropped = True
        if self._granted is not None:
            self._granted.cancel()
        for slots in self.slots[: self._had]:
            if slots not in keep:
                slots.give()
        self.settled.happen()

    def _take_next(self) -> None:
        with self._lock:
            if self._is_dropped:
                return
            self._granted = None
            while self._had < len(self.slots) and self._granted is None:
                self._granted = self.slots[self._had].queue()
                self._had += self._granted is None
            granted = self._granted
        if granted is None:
            self.settled.happen()
        else:
            granted.add_done_callback(self._taken)

    def _taken(self, granted: Future[None]) -> None:
        if granted.cancelled():
            return
        with self._lock:
            comes_late = self._is_dropped
            self._had += not comes_late
        if comes_late:
            self.slots[self._had].give()
        else:
            self._take_next()


class SlotToken:
    """One agent's hold on the slots of its team and of the teams above it (`slots`, innermost first)."""

    def __init__(
        self, slots: tuple[ConcurrencyLimiter, ...], above: SlotToken | None = None, until: float | None = None
    ) -> None:
        """`above` is that of the agent whose code runs the team; `until`, on the monotonic clock, ends its own work."""
        self.slots, self.above, self.until = slots, above, until
        self._claim: _Claim | None = None
        self._lent = 0
        self._has_borrowed = False
        self._is_over = False
        self._lock = Lock()

    @property
    def is_orphan(self) -> bool:
        """Whether an agent above is over, so that nobody waits for this one."""
        return self.above is not None and (self.above._is_over or self.above.is_orphan)

    def take(self, timeout: float | None = None) -> bool:
        """Wait for all slots; tell whether they were had within `timeout` seconds."""
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
        """Hand the slots to whoever waits for one, and take them anew later."""
        with self._lock:
            claim, self._claim = self._claim, None
        if claim is not None:
            claim.drop()

    def give(self) -> None:
        """Hand back for good what is held.

        The last agent below one that lent its slots waits until that one has them again, or is over: whatever goes on
        then is its code.
        """
        back = self._over()
        if back is not None:
            back.settled.wait(self._patience)

    async def agive(self) -> None:
        """Do as `give` without blocking the event loop."""
        back = self._over()
        if back is not None:
            await back.settled.await_(self._patience)

    def lend(self) -> None:
        """Hand the slots back while an agent further down works."""
        with self._lock:
            self._lent += 1
        self.pause()

    def reclaim(self, offered: _Claim | None) -> _Claim | None:
        """Take anew what was lent, once the last agent further down is over; what that one holds passes over."""
        with self._lock:
            self._lent -= 1
            if self._lent or self._is_over:
                return None
            passes = offered is not None and offered.holds_all and set(self.slots) <= set(offered.slots)
            self._claim = _Claim(self.slots, had=len(self.slots) if passes else 0)
            if passes and offered is not None:
                offered.drop(keep=self.slots)
            return self._claim

    def _over(self) -> _Claim | None:
        """End the hold; return the claim of the agent above, where that one takes its slots anew."""
        with self._lock:
            if self._is_over:
                return None
            self._is_over = True
            claim, self._claim = self._claim, None
        if claim is not None and not claim.holds_all:
            claim.drop()
        back = self.above.reclaim(claim) if self.above is not None and self._has_borrowed else None
        if claim is not None:
            claim.drop()
        return back

    @property
    def _patience(self) -> float | None:
        """Seconds until the agent above has to be over."""
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
