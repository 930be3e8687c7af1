"""Running one attempt, also for callers that leave before its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from langgraph.types import StreamMode

from guardgraph.runs.acknowledgement import HeldParts
from guardgraph.runs.attempts import Attempts
from guardgraph.runs.execution import RunExecution
from guardgraph.runs.handing_over import ahand_over, hand_over
from guardgraph.runs.run import Run

__all__ = ("awork", "work")

_PATIENCE = 0.6
"""Seconds in which cancelled agents, and the team around them, are expected to end."""
_LEVELS = 12
"""How often the innermost agents are cancelled before the graph itself is."""


def work(
    attempts: Attempts, attempt: RunExecution | Run, modes: Sequence[StreamMode] = (), *, provisional: bool = True
) -> Iterator[Any]:
    """Yield the stream parts of an attempt in these modes, and at last the run; a `Run` alone is yielded at once.

    A part is yielded when what it reports is committed. With `provisional` those of unfinished work are not held.
    Where the caller leaves, nothing more begins; the agents at work finish, and their results are stored.
    """
    if isinstance(attempt, Run):
        yield attempt
        return
    with attempts.activated(attempt):
        parts: Any = attempt.graph.stream(**attempt.call(modes))
        handed_over = hand_over(parts, HeldParts(modes, provisional), attempt.commits)
        try:
            for part in handed_over:  # noqa: UP028 - `yield from` would close it before the drain is requested
                yield part
            yield attempts.end(attempt)
        finally:
            attempt.control.request_drain("left")
            parts.close()
            attempts.release(attempt)


async def awork(
    attempts: Attempts, attempt: RunExecution | Run, modes: Sequence[StreamMode] = (), *, provisional: bool = True
) -> AsyncGenerator[Any]:
    """Do as `work` without blocking the event loop; but agents at work are cancelled where the caller leaves.

    The graph has a task of its own, which is not cancelled with the caller: LangGraph would lose what has just ended.
    """
    if isinstance(attempt, Run):
        yield attempt
        return
    wanted, parts, held = asyncio.Event(), asyncio.Queue[Any](), HeldParts(modes, provisional)

    async def demand() -> None:
        """Wait until the next part is wanted; once the run is drained its parts are made without demand."""
        await wanted.wait()
        if not attempt.control.drain_requested:
            wanted.clear()

    with attempts.activated(attempt):
        task = asyncio.create_task(_drive(attempts, attempt, held, demand, parts))
        try:
            part: Any = None
            while not isinstance(part, Run):
                wanted.set()
                part = await parts.get()
                if isinstance(part, BaseException):
                    raise part
                yield part
        finally:
            if not task.done():
                attempt.control.request_drain("left")
                wanted.set()
                await _uninterrupted(_leave(attempt, task))


async def _drive(
    attempts: Attempts,
    attempt: RunExecution,
    held: HeldParts,
    demand: Callable[[], Awaitable[None]],
    parts: asyncio.Queue[Any],
) -> None:
    """Put the stream parts and the run into a queue, each on demand; at last the exception, if there is one."""
    try:
        async with aclosing(attempt.graph.astream(**attempt.call(held.modes))) as stream:  # pyright: ignore[reportArgumentType]
            await demand()
            async for part in ahand_over(stream, held, attempt.commits):
                parts.put_nowait(part)
                await demand()
        parts.put_nowait(await asyncio.to_thread(attempts.end, attempt))
    except BaseException as error:  # raised where the caller waits for the next part
        await asyncio.to_thread(attempts.release, attempt)
        parts.put_nowait(error)


async def _leave(attempt: RunExecution, task: asyncio.Task[None]) -> None:
    """Cancel the agents at work, from the innermost teams outwards, and let the graph end by itself.

    So finished results are stored. A graph that hangs elsewhere, as in a node of the user's own, is cancelled itself.
    """
    for _ in range(_LEVELS):
        if not attempt.services.cancel_innermost():
            break
        if await _ended(task):
            return
    if not await _ended(task):
        task.cancel()
        await _ended(task)


async def _ended(task: asyncio.Task[None]) -> bool:
    return bool((await asyncio.wait({task}, timeout=_PATIENCE))[0])


async def _uninterrupted(work: Any) -> None:
    """Wait for the end of `work`, also where the caller is cancelled; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
