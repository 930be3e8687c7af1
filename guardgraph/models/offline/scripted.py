"""A model that gives prepared replies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, TypeAlias
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.tool import tool_call
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

from guardgraph.models.offline.offline_model import (
    OfflineModel,
    chosen_tool,
    chunks_of,
    is_tool_forced,
    labelled,
    result_of,
)
from guardgraph.state import BadInput

__all__ = ("ScriptedModel", "Spoken")

Spoken: TypeAlias = str | AIMessage | BaseException
"""One reply: a text, a message (with tool calls, with its own usage), or an exception to raise."""


class ScriptedModel(OfflineModel):
    """A chat model for tests: it gives its replies one after the other; it may be called from any thread.

    A reply may be a function of the messages; a single function instead of the list answers every call. Where a tool
    call is required (as by structured output), a text that is a JSON object becomes one. When the replies are used up,
    a call raises `BadInput`.
    """

    replies: Sequence[Any] | Callable[[list[BaseMessage]], Any]
    """The replies, in order: texts, messages, exceptions, or functions of the messages that return one of these."""
    input_tokens: int | None = Field(default=None, ge=0)
    """Input tokens to report for each call; counted if `None`."""
    output_tokens: int | None = Field(default=None, ge=1)
    """Output tokens to report for each call, cut at `max_tokens`; counted if `None`."""
    max_tokens: int | None = Field(default=None, ge=1)
    """At most this many output tokens a call; a bound `max_tokens` comes first."""
    delay: float = Field(default=0, ge=0)
    """Seconds that each call takes."""
    model_name: str = "scripted"
    """The name in its answers and in traces."""

    _calls: int = PrivateAttr(default=0)
    _lock: Lock = PrivateAttr(default_factory=Lock)

    @property
    def calls(self) -> int:
        """The number of calls so far."""
        return self._calls

    def answer(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Return the next reply, after `delay`."""
        time.sleep(self.delay)
        return self._reply(messages, options)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        await asyncio.sleep(self.delay)
        return result_of(self._reply(messages, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        yield from chunks_of(self.answer(messages, kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.sleep(self.delay)
        for chunk in chunks_of(self._reply(messages, kwargs)):
            yield chunk

    def _reply(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        with self._lock:
            self._calls += 1
            number = self._calls
        if not callable(self.replies) and number > len(self.replies):
            raise BadInput(
                f"the script of {self.model_name!r} has {len(self.replies)} replies and this is call {number}; "
                "give it more replies, or a function of the messages that answers every call"
            )
        entry: Any = self.replies if callable(self.replies) else self.replies[number - 1]
        reply: Any = entry(messages) if callable(entry) else entry
        if isinstance(reply, BaseException):
            raise reply
        message = reply if isinstance(reply, AIMessage) else _message_of(reply, options)
        read, written = self.input_tokens, self.output_tokens
        if message.usage_metadata is not None and written is None:
            read, written = message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]
        return labelled(
            message,
            model_name=self.model_name,
            input_tokens=count_tokens_approximately(messages) if read is None else read,
            output_tokens=written,
            max_tokens=options.get("max_tokens") or self.max_tokens,
        )


def _message_of(text: str, options: Mapping[str, Any]) -> AIMessage:
    function = chosen_tool(options.get("tools") or (), options.get("tool_choice"))
    if function is None or not is_tool_forced(options.get("tool_choice")):
        return AIMessage(text)
    arguments = None
    with suppress(ValueError):
        arguments = json.loads(text)
    if not isinstance(arguments, dict):
        return AIMessage(text)
    return AIMessage("", tool_calls=[tool_call(name=function["name"], args=arguments, id=f"call_{uuid4().hex}")])
