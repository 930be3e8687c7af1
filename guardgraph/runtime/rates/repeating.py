"""Making a model call again that has met an overload, within its attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from guardgraph.runtime.execution_context import ExecutionContext
from guardgraph.runtime.rates.attempt_turns import apause, pause
from guardgraph.runtime.rates.backoff import Backoff
from guardgraph.runtime.rates.overload import is_overload, retry_after_of

__all__ = ("arepeated", "repeated")

_T = TypeVar("_T")


def repeated(call: Callable[[], _T], backoff: Backoff | None, execution: ExecutionContext | None) -> _T:
    """Return what `call` returns, made again after an overload; raise its last error.

    It raises at once where its attempt ends before the wait does. `execution` is that of the attempt.
    """
    failures = 0
    while True:
        try:
            return call()
        except Exception as error:
            failures += 1
            seconds = _wait_after(error, failures, backoff, execution)
            if seconds is None:
                raise
        pause(seconds)


async def arepeated(
    call: Callable[[], Awaitable[_T]], backoff: Backoff | None, execution: ExecutionContext | None
) -> _T:
    """Do as `repeated` without blocking the event loop."""
    failures = 0
    while True:
        try:
            return await call()
        except Exception as error:
            failures += 1
            seconds = _wait_after(error, failures, backoff, execution)
            if seconds is None:
                raise
        await apause(seconds)


def _wait_after(
    error: Exception, failures: int, backoff: Backoff | None, execution: ExecutionContext | None
) -> float | None:
    """Return how long to wait before the call is made again; `None` where it is not."""
    if backoff is None or failures > backoff.calls or not is_overload(error):
        return None
    position = execution.position if execution is not None else None
    key = position.account if position is not None else ""
    seconds = backoff.seconds(failures, key=key, retry_after=retry_after_of(error))
    ends = getattr(execution.budget, "ends", None) if execution is not None else None
    if seconds is None or (ends is not None and monotonic() + seconds >= ends):
        return None
    if execution is not None and position is not None:
        reason = f"its model call has met an overload: {type(error).__name__}"
        execution.services.emit("agent_waiting", position, reason=reason, seconds=round(seconds, 3))
    return seconds
