"""Driving one attempt at a run, for callers that stay and for callers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

from langgraph.errors import GraphDrained
from langgraph.types import StreamMode

from guardgraph.runs.execution import RunExecution
from guardgraph.runs.run import Run

__all__ = ("awork", "work")

_PATIENCE = 0.6
"""Seconds in which agents that were cancelled, and the team around them, are expected to end."""
_ROUNDS = 12


class _Failure(NamedTuple):
    error: BaseException


class _Demand:
    """Lets a graph go on when its next part is wanted, and freely once nobody wants any."""

    def __init__(self) -> None:
        self._asked, self._is_free = asyncio.Semaphore(0), False

    def ask(self) -> None:
        self._asked.release()

    def free(self) -> None:
        self._is_free = True
        self._asked.release()

    async def wait(self) -> None:
        if not self._is_free:
            await self._asked.acquire()


def work(attempt: RunExecution, modes: Sequence[StreamMode], end: Callable[[RunExecution], Run]) -> Iterator[Any]:
    """Yield the stream parts of an attempt, and at last what `end` returns.

    Where the caller leaves, nothing more begins; the agents at work finish, and what they did is stored.
    """
    parts: Any = attempt.graph.stream(**attempt.call(modes))
    try:
        with suppress(GraphDrained):
            for part in parts:  # noqa: UP028 - `yield from` would close it before the drain is asked for
                yield part
        yield end(attempt)
    finally:
        attempt.control.request_drain("left")
        parts.close()


async def awork(
    attempt: RunExecution, modes: Sequence[StreamMode], end: Callable[[RunExecution], Run]
) -> AsyncGenerator[Any]:
    """Do as `work` without blocking the event loop; but agents at work are cancelled where the caller leaves.

    The graph has a task of its own, which is not cancelled with the caller: LangGraph would lose what has just ended.
    """
    demand, parts = _Demand(), asyncio.Queue[Any]()
    graph = asyncio.create_task(_drive(attempt, modes, end, demand, parts))
    try:
        while True:
            demand.ask()
            part = await parts.get()
            if isinstance(part, _Failure):
                raise part.error
            yield part
            if isinstance(part, Run):
                return
    finally:
        if not graph.done():
            attempt.control.request_drain("left")
            demand.free()
            await _outlast(_leave(attempt, graph))


async def _drive(
    attempt: RunExecution,
    modes: Sequence[StreamMode],
    end: Callable[[RunExecution], Run],
    demand: _Demand,
    parts: asyncio.Queue[Any],
) -> None:
    """Put the stream parts and the run into a queue, each when it is wanted; at last what went wrong, if anything."""
    try:
        async with aclosing(attempt.graph.astream(**attempt.call(modes))) as stream:  # pyright: ignore[reportArgumentType]
            with suppress(GraphDrained):
                await demand.wait()
                async for part in stream:
                    parts.put_nowait(part)
                    await demand.wait()
        parts.put_nowait(await asyncio.to_thread(end, attempt))
    except BaseException as error:  # raised where the caller waits for the next part
        parts.put_nowait(_Failure(error))


async def _leave(attempt: RunExecution, graph: asyncio.Task[None]) -> None:
    """Cancel the agents at work, from the innermost teams outwards, and let the graph end by itself.

    So what has ended is stored. A graph that hangs elsewhere, as in a node of the user's own, is cancelled itself.
    """
    for _ in range(_ROUNDS):
        if not attempt.services.cancel_innermost():
            break
        if await _ended(graph):
            return
    if not await _ended(graph):
        graph.cancel()
        await _ended(graph)


async def _ended(task: asyncio.Task[None]) -> bool:
    return bool((await asyncio.wait({task}, timeout=_PATIENCE))[0])


async def _outlast(leaving: Any) -> None:
    """Wait for the end of what must not be cut short; a cancellation meanwhile is raised afterwards."""
    task = asyncio.ensure_future(leaving)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
