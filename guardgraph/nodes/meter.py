"""What stands before every model call of an agent, whoever makes it: callbacks that book it on the agent's tab."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphDrained

from guardgraph.nodes.services import Here
from guardgraph.nodes.tab import AllowanceSpent, Tab
from guardgraph.state import Refusal

__all__ = ("AsyncMeter", "Booking", "Meter")

_AROUND: ContextVar[tuple[tuple[Tab, UUID], ...]] = ContextVar("guardgraph_calls_around", default=())
"""The calls within which the present code runs, as far as they are still open: they cannot end while it waits."""


class Booking:
    """A model call whose output can be bounded: reserved on entering, sync or async, and given back if it never came.

    What is entered is the most that the call may write, in tokens; `None` sets no bound. Waits for what others have
    reserved; raises `AllowanceSpent` where the call cannot be paid for.
    """

    def __init__(self, here: Here | None, counted: int, wanted: int | None, facts: Mapping[str, Any]) -> None:
        self._tab: Tab | None = here.tab if here is not None else None
        self._counted, self._wanted, self._facts = counted, wanted, facts

    def __enter__(self) -> int | None:
        if self._tab is None:
            return self._wanted
        return self._bound(self._tab.services.changed.until(self._ask, _is_settled))

    async def __aenter__(self) -> int | None:
        if self._tab is None:
            return self._wanted
        services = self._tab.services
        try:
            return self._bound(await services.changed.auntil(lambda: services.off_loop(self._ask), _is_settled))
        except asyncio.CancelledError:
            await self.__aexit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._tab is not None:
            self._tab.waive()

    async def __aexit__(self, *_: object) -> None:
        if self._tab is not None:
            await self._tab.services.off_loop(self._tab.waive)

    def _ask(self) -> int | Refusal | None:
        return None if self._tab is None else self._tab.book(self._counted, self._wanted, self._facts)

    @staticmethod
    def _bound(said: int | Refusal | None) -> int | None:
        if isinstance(said, Refusal):
            raise AllowanceSpent(said)
        return said


class Meter(BaseCallbackHandler):
    """Reserves before each model call and settles after it; exactly one is active, the innermost.

    Where an open reservation of somebody else stands in the way it waits, unless that would block an event loop.
    With `run_inline=False` it comes after the `AsyncMeter`, which is inline, wherever the handlers are awaited.
    """

    raise_error = True

    def __init__(self, tab: Tab, *, run_inline: bool = True) -> None:
        self.tab, self.run_inline = tab, run_inline

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Reserve for a chat model's call, or stop it."""
        self._begin(run_id, _counted(messages), kwargs)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Reserve for a text model's call, or stop it."""
        self._begin(run_id, _counted_text(prompts), kwargs)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the call."""
        self.tab.end(run_id, response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the failed call."""
        self.tab.fail(run_id, error)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        """Take note where a graph inside was told to stop, whatever becomes of that error."""
        if isinstance(error, GraphDrained):
            self.tab.drained = error

    def _begin(self, run_id: UUID, counted: int, kwargs: dict[str, Any]) -> None:
        facts, may_wait = _facts(kwargs), not (_on_a_loop() or _within_a_call())
        refusal = self.tab.services.changed.until(
            lambda: self.tab.begin(run_id, counted, facts), lambda said: _is_settled(said) or not may_wait
        )
        if refusal is not None:
            self.tab.stop(refusal)
            raise AllowanceSpent(refusal)
        _enter_call(self.tab, run_id)


class AsyncMeter(AsyncCallbackHandler):
    """Stands before a `Meter` where agents run asynchronously, and does its waiting without blocking the loop.

    It leaves the stop to the `Meter`: langchain-core mixes the order of handlers, and would leave those after one that
    raises inline unawaited.
    """

    raise_error = True
    run_inline = True

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Wait until the meter behind this one can reserve, or has to stop the call."""
        await self._begin(run_id, _counted(messages), kwargs)

    async def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Do the same for a text model."""
        await self._begin(run_id, _counted_text(prompts), kwargs)

    async def _begin(self, run_id: UUID, counted: int, kwargs: dict[str, Any]) -> None:
        facts, services, may_wait = _facts(kwargs), self.tab.services, not _within_a_call()
        refusal = await services.changed.auntil(
            lambda: services.off_loop(lambda: self.tab.begin(run_id, counted, facts)),
            lambda said: _is_settled(said) or not may_wait,
        )
        if refusal is None:
            _enter_call(self.tab, run_id)
        elif not may_wait:
            self.tab.stop(refusal)


def _is_settled(said: int | Refusal | None) -> bool:
    return not (isinstance(said, Refusal) and said.waits)


def _within_a_call() -> bool:
    """Whether a call of this attempt, or of one above, waits for what this code does: a model that calls another one,
    or the reader of a stream."""
    return any(tab.is_open(run_id) for tab, run_id in _AROUND.get())


def _enter_call(tab: Tab, run_id: UUID) -> None:
    still_open = [(other, one) for other, one in _AROUND.get() if other.is_open(one)]
    _AROUND.set((*still_open, (tab, run_id)))


def _counted(messages: Sequence[Sequence[BaseMessage]]) -> int:
    return sum(count_tokens_approximately(row) for row in messages)


def _counted_text(prompts: Sequence[str]) -> int:
    return sum(len(prompt) for prompt in prompts) // 4 + 1


def _facts(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**(kwargs.get("invocation_params") or {}), **(kwargs.get("metadata") or {})}


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_no_stop(record: logging.LogRecord) -> bool:
    """Drop the warning that langchain-core logs for a callback that raises, where it is our own stop."""
    ours = isinstance(record.args, tuple) and bool(record.args) and record.args[0] in ("Meter", "AsyncMeter")
    return not (ours and AllowanceSpent.__name__ in str(record.args[-1]))  # type: ignore[index]


logging.getLogger("langchain_core.callbacks.manager").addFilter(_is_no_stop)
