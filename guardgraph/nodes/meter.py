"""Reserving before every model call, and settling after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from threading import Lock
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.errors import GraphBubbleUp

from guardgraph.nodes.prices import price_of
from guardgraph.nodes.services import Services
from guardgraph.state import Amount, Position, Refusal, StorageError, Usage

__all__ = ("AllowanceSpent", "AsyncMeter", "Meter", "Tab")

_WAIT = 0.5
_DEFAULT_OUTPUT = 4_096


class AllowanceSpent(GraphBubbleUp):
    """A model call was stopped before it happened, because an account would not have paid for it."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"the allowance is spent: {refusal}")


@dataclass(slots=True)
class _Call:
    counted: int
    provider: str | None
    model: str | None


@dataclass(slots=True)
class Tab:
    """The tab of one attempt: what is open, and whether it was stopped. Shared by both meters of the attempt."""

    services: Services
    position: Position
    epoch: int
    agent: str
    count: Callable[[Sequence[BaseMessage]], int] = count_tokens_approximately
    stopped: Refusal | None = None
    said: str = ""
    """The last text that a model said."""
    fault: StorageError | None = None
    """What the ledger raised: it ends the run, even where the agent's code swallows it."""
    _open: dict[UUID, _Call] = field(default_factory=dict[UUID, _Call])
    halted: set[UUID] = field(default_factory=set[UUID])
    """Model calls that an `AsyncMeter` has refused, and that its `Meter` has to stop."""
    _lock: Lock = field(default_factory=Lock)

    def begin(self, run_id: UUID, tokens: int, facts: dict[str, Any]) -> Refusal | None:
        """Reserve for one model call; do nothing if that is done already. A stop is sticky."""
        if self.stopped is not None:
            return self.stopped
        if run_id in self._open:
            return None
        model, provider = _text(facts.get("ls_model_name")), _text(facts.get("ls_provider"))
        amount = self._amount(tokens, facts, provider, model)
        with self._noting_faults():
            refusal = self.services.ledger.reserve(self._entry(run_id), self.position.account, self.epoch, amount)
        if refusal is None:
            with self._lock:
                self._open[run_id] = _Call(tokens, provider, model)
        elif not refusal.waits:
            self.stopped = refusal
        return refusal

    def end(self, run_id: UUID, response: LLMResult) -> None:
        """Settle one model call by what it reports; a call that reports nothing is settled in full."""
        with self._lock:
            call = self._open.pop(run_id, None)
        if call is None:
            return
        usage = self._usage(call, response)
        with self._noting_faults():
            self.services.ledger.settle(self._entry(run_id), usage)
        if usage is not None:
            self.services.costs.learn_call(
                self.agent, counted=call.counted, read=usage.input_tokens, total=usage.tokens
            )
        self.services.changed.tell()
        self.services.tell("model_called", self.position, model=call.model, tokens=usage.tokens if usage else None)

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """Settle one failed model call: an answer with an error status costs nothing, anything else all of it."""
        with self._lock:
            call = self._open.pop(run_id, None)
        if call is not None:
            refused = isinstance(getattr(error, "status_code", None), int)
            with self._noting_faults():
                self.services.ledger.settle(self._entry(run_id), Usage(calls=1) if refused else None)
            self.services.changed.tell()

    def output_bound(self, counted: int, wanted: int | None) -> int | None:
        """Return how many tokens one call may write: what is wanted, else 4,096, and never more than is left."""
        from_ledger = self.services.ledger.balances(self.position.account)
        left = [b.cap.tokens - b.spent.tokens for b in from_ledger if b.cap.tokens is not None]
        metered = bool(left) or any(b.cap.usd is not None for b in from_ledger)
        if not metered:
            return wanted
        read = self.services.costs.input_of(self.agent, counted)
        return max(min([wanted or _DEFAULT_OUTPUT, *(rest - read for rest in left)]), 1)

    def _amount(self, counted: int, facts: dict[str, Any], provider: str | None, model: str | None) -> Amount:
        costs = self.services.costs
        read = costs.input_of(self.agent, counted) + _schema_tokens(facts)
        bound = next((int(facts[k]) for k in _BOUNDS if isinstance(facts.get(k), int)), None)
        written = bound if bound is not None else max(costs.largest_call(self.agent) - read, 0)
        tokens = max(read + written, costs.largest_call(self.agent))
        price = price_of(provider, model)
        return Amount(tokens=tokens, usd=price.usd(read, tokens - read) if price else None, calls=1)

    def _usage(self, call: _Call, response: LLMResult) -> Usage | None:
        messages = [g.message for row in response.generations for g in row if isinstance(g, ChatGeneration)]
        for message in messages:
            self.said = message.text or self.said
        told = [u for u in (getattr(m, "usage_metadata", None) for m in messages) if u]
        if not told:
            return None
        if all(u.get("total_cost") == 0 for u in told):  # a cache hit repeats the usage of the call it repeats
            return Usage(calls=1)
        read, written = (sum(int(u.get(k) or 0) for u in told) for k in ("input_tokens", "output_tokens"))
        name = next((m.response_metadata.get("model_name") for m in messages if m.response_metadata), None)
        price = price_of(call.provider, _text(name) or call.model) or price_of(call.provider, call.model)
        usd: Decimal | None = price.usd(read, written) if price else None
        return Usage(input_tokens=read, output_tokens=written, usd=usd, calls=1)

    @contextmanager
    def _noting_faults(self) -> Generator[None]:
        try:
            yield
        except StorageError as error:
            self.fault = error
            raise

    def _entry(self, run_id: UUID) -> str:
        return f"{self.position.account}@{self.epoch}:{run_id.hex}"


_BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


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
        self._begin(run_id, sum(self.tab.count(row) for row in messages), kwargs)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Reserve for a text model's call, or stop it."""
        self._begin(run_id, sum(len(prompt) for prompt in prompts) // 4 + 1, kwargs)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the call."""
        self.tab.end(run_id, response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle the failed call."""
        self.tab.fail(run_id, error)

    def _begin(self, run_id: UUID, tokens: int, facts: dict[str, Any]) -> None:
        while True:
            turn = self.tab.services.changed.turn()
            refusal = self.tab.begin(run_id, tokens, _facts(facts))
            if refusal is None:
                return
            if run_id in self.tab.halted or not refusal.waits or _on_a_loop():
                self.tab.stopped = refusal
                raise AllowanceSpent(refusal)
            self.tab.services.changed.wait(turn, _WAIT)


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
        await self._begin(run_id, sum(self.tab.count(row) for row in messages), kwargs)

    async def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Do the same for a text model."""
        await self._begin(run_id, sum(len(prompt) for prompt in prompts) // 4 + 1, kwargs)

    async def _begin(self, run_id: UUID, tokens: int, facts: dict[str, Any]) -> None:
        while True:
            turn = self.tab.services.changed.turn()
            refusal = self.tab.begin(run_id, tokens, _facts(facts))
            if refusal is None:
                return
            if not refusal.waits:
                self.tab.halted.add(run_id)
                return
            await self.tab.services.changed.await_(turn, _WAIT)


def _facts(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {**(kwargs.get("invocation_params") or {}), **(kwargs.get("metadata") or {})}


def _schema_tokens(facts: dict[str, Any]) -> int:
    tools = facts.get("tools")
    return len(str(tools)) // 4 if tools else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


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
