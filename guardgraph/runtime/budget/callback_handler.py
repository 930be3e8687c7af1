"""What stands before every model call of an agent, whoever makes it: callbacks that book it on the agent's budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from inspect import CO_COROUTINE, currentframe
from types import FrameType
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphDrained

from guardgraph.runtime.budget.attempt_budget import AttemptBudget, BudgetExceeded
from guardgraph.runtime.execution_context import ExecutionContext
from guardgraph.state import ReservationDenied

__all__ = ("AsyncBudgetCallbackHandler", "BudgetCallbackHandler", "CallReservation")

_AROUND: ContextVar[tuple[tuple[AttemptBudget, UUID], ...]] = ContextVar("guardgraph_calls_around", default=())
"""The calls within which the present code runs, as far as they are still open: they cannot end while it waits."""


class _Batch(NamedTuple):
    """The prompts of one `generate`: all of them begin before the first is sent."""

    params: Any
    """What they have in common."""
    calls: tuple[UUID, ...]


_BATCH: ContextVar[_Batch | None] = ContextVar("guardgraph_batch", default=None)
_TASK: ContextVar[asyncio.Task[Any] | None] = ContextVar("guardgraph_task", default=None)
"""The task that makes the present call: a call that was cancelled is told to nobody."""


class CallReservation:
    """A model call whose output can be bounded: reserved on entering, sync or async, and given back if it never came.

    What is entered is the most that the call may write, in tokens; `None` sets no bound. Waits for what others have
    reserved; raises `BudgetExceeded` where the call cannot be paid for.
    """

    def __init__(
        self, here: ExecutionContext | None, counted: int, wanted: int | None, facts: Mapping[str, Any]
    ) -> None:
        self._tab: AttemptBudget | None = here.budget if here is not None else None
        self._counted, self._wanted, self._facts = counted, wanted, facts

    def __enter__(self) -> int | None:
        if self._tab is None:
            return self._wanted
        budget = self._tab
        return self._bound(
            budget.services.changed.wait_for(lambda: self._ask(budget, on_a_loop=_on_a_loop()), _is_settled)
        )

    async def __aenter__(self) -> int | None:
        if self._tab is None:
            return self._wanted
        budget, services, task = self._tab, self._tab.services, asyncio.current_task()
        try:
            return self._bound(
                await services.changed.await_for(
                    lambda: services.off_loop(lambda: self._ask(budget, on_a_loop=False, task=task)), _is_settled
                )
            )
        except asyncio.CancelledError:
            await self.__aexit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._tab is not None:
            self._tab.release()

    async def __aexit__(self, *_: object) -> None:
        if self._tab is not None:
            await self._tab.services.off_loop(self._tab.release)

    def _ask(self, budget: AttemptBudget, *, on_a_loop: bool, task: asyncio.Task[Any] | None = None) -> _Said:
        may_wait, is_over = not (on_a_loop or _within_a_call()), task.done if task is not None else None
        said = budget.reserve(self._counted, self._wanted, self._facts, may_wait=may_wait, is_over=is_over)
        return _Said(said, may_wait)

    def _bound(self, said: _Said) -> int | None:
        if isinstance(said.refusal, ReservationDenied):
            if self._tab is not None:
                self._tab.stop(said.refusal)
            raise BudgetExceeded(said.refusal)
        return said.refusal


class BudgetCallbackHandler(BaseCallbackHandler):
    """Reserves before each model call and settles after it; exactly one is active, the innermost.

    Where an open reservation of somebody else stands in the way it waits, unless that would block an event loop.
    One that `is_paired` leaves what is awaited to the handler for awaited calls beside it.
    """

    raise_error = True
    run_inline = True

    def __init__(self, budget: AttemptBudget, *, is_paired: bool = False) -> None:
        self.budget, self.is_paired = budget, is_paired

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Reserve for a chat model's call, or stop it."""
        self._begin(run_id, _counted(messages), kwargs, is_left=self._leaves(currentframe()))

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Reserve for a text model's call, or stop it."""
        self._begin(run_id, _counted_text(prompts), kwargs, is_left=self._leaves(currentframe()))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the call."""
        if not self._leaves(currentframe()):
            self.budget.end(run_id, response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the failed call."""
        if not self._leaves(currentframe()):
            self.budget.fail(run_id, error)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        """Take note where a graph inside was told to stop, whatever becomes of that error."""
        if isinstance(error, GraphDrained):
            self.budget.drained = error

    def _begin(self, run_id: UUID, counted: int, kwargs: dict[str, Any], *, is_left: bool) -> None:
        _enter_call(self.budget, run_id, kwargs)
        if is_left:
            return
        facts = _facts(kwargs)

        def ask() -> _Said:
            may_wait = not (_on_a_loop() or _within_a_call())
            return _Said(self.budget.begin(run_id, counted, facts, may_wait=may_wait), may_wait)

        _passed(self.budget, self.budget.services.changed.wait_for(ask, _is_settled).refusal)

    def _leaves(self, called: FrameType | None) -> bool:
        """Tell whether langchain-core awaits its handlers: then it is a coroutine that calls this one.

        Were it to call from elsewhere, a call that is awaited would be metered like any other, but could not wait.
        """
        return self.is_paired and _is_coroutine(called)


class AsyncBudgetCallbackHandler(AsyncCallbackHandler):
    """Does the work of the handler beside it for calls that are awaited, and blocks neither the loop nor its threads.

    It is not inline, so that neither its stop nor a cancellation while it waits leaves other handlers unawaited.
    """

    raise_error = True
    ignore_agent = ignore_chain = ignore_custom_event = ignore_retriever = ignore_retry = True  # type: ignore[assignment]

    def __init__(self, budget: AttemptBudget) -> None:
        self.budget = budget

    @property
    def ignore_llm(self) -> bool:
        """Whether it is a synchronous call that asks: the other handler serves it."""
        return not _is_coroutine(currentframe())

    @property
    def ignore_chat_model(self) -> bool:
        """Whether it is a synchronous call that asks: the other handler serves it."""
        return not _is_coroutine(currentframe())

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Reserve for a chat model's call, or stop it."""
        await self._begin(run_id, _counted(messages), kwargs)

    async def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Reserve for a text model's call, or stop it."""
        await self._begin(run_id, _counted_text(prompts), kwargs)

    async def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the call."""
        await self.budget.services.off_loop(lambda: self.budget.end(run_id, response))

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the failed call."""
        await self.budget.services.off_loop(lambda: self.budget.fail(run_id, error))

    async def _begin(self, run_id: UUID, counted: int, kwargs: dict[str, Any]) -> None:
        facts, services, task = _facts(kwargs), self.budget.services, _TASK.get()

        def look() -> _Said:
            may_wait, is_over = not _within_a_call(), task.done if task is not None else None
            said = self.budget.begin(run_id, counted, facts, may_wait=may_wait, is_over=is_over)
            return _Said(said, may_wait)

        said = await services.changed.await_for(lambda: services.off_loop(look), _is_settled)
        await services.off_loop(lambda: _passed(self.budget, said.refusal))


class _Said(NamedTuple):
    """What was said to a call, and whether it may wait for something better."""

    refusal: int | ReservationDenied | None
    """Why it may not be made; else how much it may write, where that is bounded."""
    may_wait: bool


def _is_settled(said: _Said) -> bool:
    return not (said.may_wait and isinstance(said.refusal, ReservationDenied) and said.refusal.retryable)


def _passed(budget: AttemptBudget, said: int | ReservationDenied | None) -> None:
    """Raise the stop where a call is refused for good: then no prompt of its `generate` will be sent."""
    if not isinstance(said, ReservationDenied):
        return
    budget.stop(said)
    begun = _BATCH.get()
    for run_id in begun.calls if begun is not None else ():
        budget.give_up(run_id)
    raise BudgetExceeded(said)


def _is_coroutine(called: FrameType | None) -> bool:
    """Tell whether it is a coroutine that has called."""
    caller = called.f_back if called is not None else None
    return caller is not None and bool(caller.f_code.co_flags & CO_COROUTINE)


def _within_a_call() -> bool:
    """Whether a call of this attempt, or of one above, waits for what this code does: a model that calls another one,
    the reader of a stream, or another prompt of one `generate`."""
    return any(budget.is_open(run_id) for budget, run_id in _AROUND.get())


def _enter_call(budget: AttemptBudget, run_id: UUID, kwargs: Mapping[str, Any]) -> None:
    """Make a call that is about to begin known to the code that runs within it."""
    params, begun = kwargs.get("invocation_params"), _BATCH.get()
    mates = begun.calls if begun is not None and params is not None and begun.params is params else ()
    still_open = [(other, one) for other, one in _AROUND.get() if other.is_open(one) or one in mates]
    _AROUND.set((*still_open, (budget, run_id)))
    _BATCH.set(_Batch(params, (*mates, run_id)))
    _TASK.set(asyncio.current_task() if _on_a_loop() else None)


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
    ours = (
        isinstance(record.args, tuple)
        and bool(record.args)
        and record.args[0] in (BudgetCallbackHandler.__name__, AsyncBudgetCallbackHandler.__name__)
    )
    return not (ours and BudgetExceeded.__name__ in str(record.args[-1]))  # type: ignore[index]


logging.getLogger("langchain_core.callbacks.manager").addFilter(_is_no_stop)
