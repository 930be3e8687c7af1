"""Handing over the parts of a stream when what they report is committed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langgraph.errors import GraphDrained

from guardgraph.runs.acknowledgement import HeldParts
from guardgraph.state import StorageUnavailable
from guardgraph.storage.sql.checkpoints.commits import CommitLog

__all__ = ("ahand_over", "hand_over")

_PATIENCE = 1.0
"""Seconds in which a row is committed as a rule. A part whose row is late stays held, and the stream goes on."""
_END_PATIENCE = 30.0
"""The same at the end, where LangGraph itself has waited for all that it stores."""


def hand_over(parts: Iterator[Any], held: HeldParts, log: CommitLog) -> Iterator[Any]:
    """Yield the parts of a graph's stream, each when its rows are committed; also of one that was drained.

    While a commit is awaited the graph is not asked for the next part: so it does not run ahead of its storage.

    Raises:
        StorageError: a row could not be stored; none of the parts that wait for it is handed over.
    """
    try:
        for part in parts:
            held.add(part)
            yield from held.take(log.committed)
            if rows := held.newly_announced(log.committed):
                log.wait(rows, _PATIENCE)
                yield from held.take(log.committed)
    except GraphDrained:
        pass
    except Exception:  # of a node, or of storage; LangGraph has stored what ended before
        yield from held.take(log.committed)
        raise
    _check_stored(committed=log.wait(held.missing(log.committed), _END_PATIENCE))
    yield from held.rest(log.committed)


async def ahand_over(parts: AsyncIterator[Any], held: HeldParts, log: CommitLog) -> AsyncIterator[Any]:
    """Do as `hand_over` without blocking the event loop."""
    try:
        async for part in parts:
            held.add(part)
            for ready in held.take(log.committed):
                yield ready
            if rows := held.newly_announced(log.committed):
                await log.await_(rows, _PATIENCE)
                for ready in held.take(log.committed):
                    yield ready
    except GraphDrained:
        pass
    except Exception:
        for ready in held.take(log.committed):
            yield ready
        raise
    _check_stored(committed=await log.await_(held.missing(log.committed), _END_PATIENCE))
    for ready in held.rest(log.committed):
        yield ready


def _check_stored(*, committed: bool) -> None:
    if not committed:
        raise StorageUnavailable(
            f"the graph has ended, but storage has not confirmed all of it within {_END_PATIENCE:.0f} seconds; "
            "resume the run once the database answers"
        )
