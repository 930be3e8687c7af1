"""What a way of writing is, and a group commit that belongs to an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from bench.drivers.statements import Call

__all__ = ("LoopGroupCommit", "Open", "Store")

Store = Callable[[Call], Awaitable[object]]
"""Stores what belongs to one call; done once it is committed."""
Open = Callable[[str], AbstractAsyncContextManager[Store]]
"""Opens the database of a URL, whose tables are there and empty."""


class LoopGroupCommit:
    """Commits in one transaction what was submitted while the one before was written, as `GroupCommit` does."""

    def __init__(self, commit: Callable[[Sequence[Call]], Awaitable[object]]) -> None:
        """`commit` stores several calls in one transaction."""
        self._commit = commit
        self._waiting: list[tuple[Call, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def store(self, call: Call) -> None:
        """Store a call with others."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((call, done))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        await done

    async def _work(self) -> None:
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            await self._commit([call for call, _ in jobs])
            for _, done in jobs:
                done.set_result(None)
        self._task = None
