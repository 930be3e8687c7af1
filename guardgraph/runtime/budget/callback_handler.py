"""Callback handlers that judge every call of an agent before it happens, reserve budget for models, and settle it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from inspect import CO_COROUTINE, currentframe
from types import FrameType
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langgraph.errors import GraphDrained, GraphInterrupt

from guardgraph.runtime.budget.attempt_budget import AttemptBudget, BudgetExceeded
from guardgraph.runtime.budget.call_circuits import tool_shows
from guardgraph.runtime.budget.call_guards import GuardTripped, model_call, task_of, tool_call
from guardgraph.runtime.budget.prompt_tokens import prompt_tokens
from guardgraph.runtime.execution_context import ExecutionContext
from guardgraph.runtime.rates.attempt_turns import apause, pause
from guardgraph.state import RateLimitExceeded, ReservationDenied

__all__ = ("HANDLERS", "AsyncBudgetCallbackHandler", "BudgetCallbackHandler", "CallReservation")

_Answer = int | ReservationDenied | None
"""Why a call may not be made; else how many tokens it may write, where that is bounded."""


class _Batch(NamedTuple):
    """The prompts of one `generate`: all of them begin before the first is sent."""

    params: Any
    """What they have in common."""
    calls: tuple[UUID, ...]
    denials: list[UUID]
    """Those that a meter has denied, shared by all meters: then none of them is sent."""


class _Decision(NamedTuple):
    """The answer to a reservation, and whether the call may wait for a better one."""

    answer: _Answer
    may_wait: bool


_CALL_STACK: ContextVar[tuple[tuple[AttemptBudget, UUID], ...]] = ContextVar("guardgraph_call_stack", default=())
"""Model calls on the current call stack; waiting on one would deadlock."""
_BATCH: ContextVar[_Batch] = ContextVar("guardgraph_batch", default=_Batch(None, (), []))  # noqa: B039 - never changed
_TASK: ContextVar[asyncio.Task[Any] | None] = ContextVar("guardgraph_task", default=None)
"""The task that makes the current call: no callback is called for a call that was cancelled."""


class CallReservation:
    """A model call whose output can be bounded: reserved on entering, sync or async, and released if it never came.

    What is entered is the most that the call may write, in tokens; `None` sets no bound. Waits for what others have
    reserved; raises `BudgetExceeded` where the call cannot be paid for.
    """

    def __init__(
        self, execution: ExecutionContext | None, counted: int, wanted: int | None, facts: Mapping[str, Any]
    ) -> None:
        self._budget: AttemptBudget | None = execution.budget if execution is not None else None
        self._counted, self._wanted, self._facts = counted, wanted, facts

    def __enter__(self) -> int | None:
        if self._budget is None:
            return self._wanted
        return _reserve(self._budget, partial(self._budget.reserve, self._counted, self._wanted, self._facts))

    async def __aenter__(self) -> int | None:
        if self._budget is None:
            return self._wanted
        request = partial(self._budget.reserve, self._counted, self._wanted, self._facts)
        try:
            return await _areserve(self._budget, request, asyncio.current_task())
        except asyncio.CancelledError:
            await self.__aexit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._budget is not None:
            self._budget.release()

    async def __aexit__(self, *_: object) -> None:
        if self._budget is not None:
            await self._budget.services.off_loop(self._budget.release)


class BudgetCallbackHandler(BaseCallbackHandler):
    """Reserves before each synchronous model call and settles after it; the innermost handler is the only active one.

    Before that the guards of the gates `model` and `tool` judge the call, if the attempt has such guards.

    Where an open reservation of another call is in the way it waits, unless that would block an event loop. Awaited
    calls are left to an `AsyncBudgetCallbackHandler` beside it.
    """

    raise_error = True
    run_inline = True

    def __init__(self, budget: AttemptBudget) -> None:
        self.budget = budget

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Judge the call of a text model or chat model and reserve for it, or stop it."""
        _enter_call(self.budget, run_id, kwargs)
        if not _is_awaited(currentframe()):
            _judge_model(self.budget, run_id, prompts, kwargs)
            turns = self.budget.turns
            if turns is not None:
                with _releasing(self.budget, _BATCH.get().calls):
                    pause(turns.take(run_id, *_size_and_facts(prompts, kwargs)))
            _reserve(self.budget, _request(self.budget, run_id, prompts, kwargs), _BATCH.get().calls)

    on_chat_model_start = on_llm_start  # pyright: ignore[reportAssignmentType] -- langchain-core passes by position

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the call."""
        if not _is_awaited(currentframe()):
            self.budget.end(run_id, response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the failed call."""
        if not _is_awaited(currentframe()):
            self.budget.fail(run_id, error)

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Judge the call of a tool and reserve what it costs, or stop it."""
        if _is_awaited(currentframe()):
            return
        _judge_tool(self.budget, run_id, serialized, input_str, kwargs)
        tool = _priced_tool(self.budget, serialized, kwargs)
        if tool is not None:
            _reserve(self.budget, partial(self.budget.begin_tool, run_id, tool))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle it, and note in the label of the attempt that it receives what the tool returns."""
        self.budget.integrity.note_tool(kwargs.get("name"))
        if not _is_awaited(currentframe()):
            _end_tool(self.budget, run_id, is_ok=_is_ok(output))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle it, for a call that has failed costs the same, unless it is made again; the attempt receives the text
        of the error."""
        self.budget.integrity.note_tool(None)
        if isinstance(error, GraphInterrupt) and self.budget.guards is not None:
            self.budget.guards.interrupted(run_id)
        if not _is_awaited(currentframe()):
            _end_tool(self.budget, run_id, is_ok=tool_shows(error), is_due=not _is_made_again(error))

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        """Record that a graph inside was drained, even where that error is swallowed."""
        if isinstance(error, GraphDrained):
            self.budget.drained = error


class AsyncBudgetCallbackHandler(AsyncCallbackHandler):
    """Does the same for awaited calls, and blocks neither the event loop nor its threads.

    It is not inline, so that neither its stop nor a cancellation while it waits leaves other handlers unawaited.
    """

    raise_error = True
    ignore_chain = ignore_custom_event = ignore_retriever = ignore_retry = True  # type: ignore[assignment]

    def __init__(self, budget: AttemptBudget) -> None:
        self.budget = budget

    @property
    def ignore_llm(self) -> bool:
        """Whether this is looked up for a synchronous call: the other handler serves it."""
        return not _is_awaited(currentframe())

    @property
    def ignore_agent(self) -> bool:
        """Whether this is looked up for a synchronous call of a tool, or tools are neither judged nor paid for."""
        return (self.budget.guards is None and not self.budget.tool_prices) or not _is_awaited(currentframe())

    ignore_chat_model = ignore_llm  # pyright: ignore[reportIncompatibleMethodOverride] -- the same property

    async def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Judge the call of a text model or chat model and reserve for it, or stop it."""
        if self.budget.guards is not None:
            await self.budget.off_loop(partial(_judge_model, self.budget, run_id, prompts, kwargs))
        request = _request(self.budget, run_id, prompts, kwargs)
        turns = self.budget.turns
        if turns is not None:
            take = partial(turns.take, run_id, *_size_and_facts(prompts, kwargs))
            with _releasing(self.budget, _BATCH.get().calls):
                await apause(await turns.off_loop(take))
        await _areserve(self.budget, request, _TASK.get(), _BATCH.get().calls)

    on_chat_model_start = on_llm_start  # pyright: ignore[reportAssignmentType] -- langchain-core passes by position

    async def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the call."""
        await self.budget.off_loop(partial(self.budget.end, run_id, response))

    async def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the failed call."""
        await self.budget.off_loop(partial(self.budget.fail, run_id, error))

    async def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **kwargs: Any) -> None:
        """Judge the call of a tool and reserve what it costs, or stop it."""
        if self.budget.guards is not None:
            judge = partial(_judge_tool, self.budget, run_id, serialized, input_str, kwargs)
            await self.budget.off_loop(judge)
        tool = _priced_tool(self.budget, serialized, kwargs)
        if tool is not None:
            await _areserve(self.budget, partial(self.budget.begin_tool, run_id, tool), asyncio.current_task())

    async def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle it."""
        await self.budget.off_loop(partial(_end_tool, self.budget, run_id, is_ok=_is_ok(output)))

    async def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle it: a call that has failed costs the same."""
        facts = {"is_ok": tool_shows(error), "is_due": not _is_made_again(error)}
        await self.budget.off_loop(partial(_end_tool, self.budget, run_id, **facts))


HANDLERS = (AsyncBudgetCallbackHandler, BudgetCallbackHandler)
"""Exactly one of these two serves a call."""


def _judge_model(budget: AttemptBudget, run_id: UUID, prompts: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if budget.guards is None:
        return
    try:
        budget.guards.admit(model_call(budget.services, run_id, prompts, kwargs), task_of(kwargs))
    except GuardTripped:
        _give_back(_BATCH.get().calls)
        raise


def _judge_tool(budget: AttemptBudget, run_id: UUID, serialized: Any, text: str, kwargs: Mapping[str, Any]) -> None:
    if budget.guards is not None:
        budget.guards.admit(tool_call(budget.services, run_id, serialized, text, kwargs), task_of(kwargs))


def _end_tool(budget: AttemptBudget, run_id: UUID, *, is_ok: bool | None, is_due: bool = True) -> None:
    """Settle the call of a tool, or release what it costs where that is not due; record what it has shown."""
    if budget.tool_prices:
        budget.end_tool(run_id, is_due=is_due)
    if budget.guards is not None:
        budget.guards.shown(run_id, is_ok=is_ok)


def _is_made_again(error: BaseException) -> bool:
    """Whether the call of a tool is made again when the run goes on: it waits for a human, or the run was drained."""
    return isinstance(error, GraphInterrupt | GraphDrained)


def _is_ok(output: Any) -> bool:
    return getattr(output, "status", None) != "error"


def _reserve(budget: AttemptBudget, request: Callable[..., _Answer], batch: tuple[UUID, ...] = ()) -> int | None:
    """Return what `request` grants, once no reservation of others is in the way; raise where it is denied."""

    def decide() -> _Decision:
        may_wait = not (_on_a_loop() or _within_a_call(batch))
        return _Decision(request(may_wait=may_wait), may_wait)

    return _granted(budget, budget.services.changed.wait_for(decide, _is_final).answer, batch)


async def _areserve(
    budget: AttemptBudget,
    request: Callable[..., _Answer],
    task: asyncio.Task[Any] | None,
    batch: tuple[UUID, ...] = (),
) -> int | None:
    """Do as `_reserve` without blocking the event loop; `task` makes the call."""
    services, has_ended = budget.services, task.done if task is not None else None

    def decide() -> _Decision:
        may_wait = not _within_a_call(batch)
        return _Decision(request(may_wait=may_wait, has_ended=has_ended), may_wait)

    answer = (await services.changed.await_for(lambda: services.off_loop(decide, reserves=True), _is_final)).answer
    if isinstance(answer, ReservationDenied):
        return await services.off_loop(partial(_granted, budget, answer, batch))
    if batch and _BATCH.get().denials:  # another meter has denied it meanwhile
        await services.off_loop(partial(_give_back, batch))
    return answer


def _priced_tool(budget: AttemptBudget, serialized: Any, kwargs: Mapping[str, Any]) -> str | None:
    """Return the name of a tool whose calls cost something."""
    name = (serialized or {}).get("name") or kwargs.get("name")
    return name if name in budget.tool_prices else None


def _is_final(decision: _Decision) -> bool:
    return not (decision.may_wait and isinstance(decision.answer, ReservationDenied) and decision.answer.retryable)


def _granted(budget: AttemptBudget, answer: _Answer, batch: tuple[UUID, ...]) -> int | None:
    """Return the bound, or raise the stop where a call is denied: then no call of its batch will be sent."""
    if not isinstance(answer, ReservationDenied):
        return answer
    budget.stop(answer)
    _give_back(batch)
    raise BudgetExceeded(answer)


def _give_back(batch: tuple[UUID, ...]) -> None:
    """Release what any meter has reserved for the calls of a batch, of which none will be sent."""
    _BATCH.get().denials.extend(batch)
    for budget, run_id in _CALL_STACK.get():
        if run_id in batch:
            budget.release(run_id)


def _is_awaited(frame: FrameType | None) -> bool:
    """Whether langchain-core awaits its handlers: then a coroutine has called the function of `frame`."""
    caller = frame.f_back if frame is not None else None
    return caller is not None and bool(caller.f_code.co_flags & CO_COROUTINE)


def _within_a_call(batch: tuple[UUID, ...]) -> bool:
    """Whether an open call of this attempt, or of one above, waits for the current code: a model that calls another
    one, the reader of a stream, or another prompt of one `generate`. Other meters may have opened the same call."""
    same = batch[-1:]
    return any(budget.is_open(run_id) for budget, run_id in _CALL_STACK.get() if run_id not in same)


def _enter_call(budget: AttemptBudget, run_id: UUID, kwargs: Mapping[str, Any]) -> None:
    """Add a call that is about to begin to the call stack and to its batch; note it in the label of the attempt."""
    budget.integrity.note_call()
    params, batch = kwargs.get("invocation_params"), _BATCH.get()
    is_same = run_id in batch.calls or (params is not None and batch.params is params)
    mates = batch.calls if is_same else ()
    still_open = [(other, one) for other, one in _CALL_STACK.get() if other.is_open(one) or one in mates]
    _CALL_STACK.set((*still_open, (budget, run_id)))
    _BATCH.set(_Batch(params, (*mates, run_id), batch.denials if is_same else []))
    _TASK.set(asyncio.current_task() if _on_a_loop() else None)


def _request(
    budget: AttemptBudget, run_id: UUID, prompts: Sequence[str | Sequence[BaseMessage]], kwargs: Mapping[str, Any]
) -> Callable[..., _Answer]:
    return partial(budget.begin, run_id, *_size_and_facts(prompts, kwargs))


def _size_and_facts(
    prompts: Sequence[str | Sequence[BaseMessage]], kwargs: Mapping[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Return how many tokens the prompts of a call have, and what is known of it."""
    facts = {**(kwargs.get("invocation_params") or {}), **(kwargs.get("metadata") or {})}
    return sum(map(_tokens, prompts)), facts


@contextmanager
def _releasing(budget: AttemptBudget, batch: tuple[UUID, ...]) -> Generator[None]:
    """Release what is reserved for the calls of a batch where one of them has no turn: then none is sent."""
    try:
        yield
    except RateLimitExceeded:
        for run_id in batch:
            budget.release(run_id)
        raise


def _tokens(prompt: str | Sequence[BaseMessage]) -> int:
    return len(prompt) // 4 + 1 if isinstance(prompt, str) else prompt_tokens(prompt)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


_STOPS = (BudgetExceeded.__name__, GuardTripped.__name__, "ToolRefused")


def _is_no_stop(record: logging.LogRecord) -> bool:
    """Drop the warning that langchain-core logs for a callback that raises, where it is a stop of ours."""
    message = record.getMessage()
    return not any(f"{name}(" in message for name in _STOPS)


logging.getLogger("langchain_core.callbacks.manager").addFilter(_is_no_stop)
