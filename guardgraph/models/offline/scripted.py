"""A model that says what it was told to say."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from threading import Lock
from typing import Any, TypeAlias
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

from guardgraph.models.offline.offline_model import (
    OfflineModel,
    answer,
    chosen_tool,
    chunks_of,
    count_input,
    is_tool_forced,
    result_of,
)
from guardgraph.state import BadInput

__all__ = ("ScriptedModel", "Spoken")

Spoken: TypeAlias = str | AIMessage | BaseException
"""One reply: a text, a message (with tool calls, with its own usage), or an exception to raise."""
_Line: TypeAlias = Spoken | Callable[[list[BaseMessage]], Spoken]


class ScriptedModel(OfflineModel):
    """A chat model for tests: it gives its replies one after the other, to whoever calls, from any thread.

    A reply may be a function of the messages; a single function in place of the list answers every call. Where a tool
    call is demanded (structured output does that), a text that is a JSON object becomes one. A script that has run out
    raises `BadInput`.
    """

    replies: Sequence[Any] | Callable[[list[BaseMessage]], Any]
    """What it says, in order: texts, messages, exceptions, or functions of the messages that return one of these."""
    input_tokens: int | None = Field(default=None, ge=0)
    """Tokens to report as read by each call; counted if `None`."""
    output_tokens: int | None = Field(default=None, ge=1)
    """Tokens to report as written by each call, cut at `max_tokens`; counted if `None`."""
    max_tokens: int | None = Field(default=None, ge=1)
    """At most this many output tokens a call; a bound `max_tokens` comes first."""
    delay: float = Field(default=0, ge=0)
    """Seconds that each call takes."""
    model_name: str = "scripted"
    """What it calls itself."""

    _place: int = PrivateAttr(default=0)
    _lock: Lock = PrivateAttr(default_factory=Lock)

    @property
    def calls(self) -> int:
        """How many calls it has answered or refused so far."""
        return self._place

    @property
    def _llm_type(self) -> str:
        return "offline-scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        time.sleep(self.delay)
        return result_of(self._say(messages, kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        await asyncio.sleep(self.delay)
        return result_of(self._say(messages, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        time.sleep(self.delay)
        yield from chunks_of(self._say(messages, kwargs))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.sleep(self.delay)
        for chunk in chunks_of(self._say(messages, kwargs)):
            yield chunk

    def _say(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        line = self._next()
        spoken = line(messages) if callable(line) else line
        if isinstance(spoken, BaseException):
            raise spoken
        message = spoken if isinstance(spoken, AIMessage) else _message_of(spoken, kwargs)
        reported = message.usage_metadata
        if reported is not None and self.output_tokens is None:
            read, written = reported["input_tokens"], reported["output_tokens"]
        else:
            read, written = self.input_tokens, self.output_tokens
        return answer(
            message,
            model_name=self.model_name,
            input_tokens=count_input(messages) if read is None else read,
            output_tokens=written,
            max_tokens=kwargs.get("max_tokens") or self.max_tokens,
        )

    def _next(self) -> _Line:
        with self._lock:
            place, self._place = self._place, self._place + 1
        if callable(self.replies):
            return self.replies
        if place >= len(self.replies):
            raise BadInput(
                f"the script of {self.model_name!r} has {len(self.replies)} replies and this is call {place + 1}; "
                "give it more replies, or a function of the messages that answers every call"
            )
        return self.replies[place]


def _message_of(text: str, kwargs: dict[str, Any]) -> AIMessage:
    function = chosen_tool(kwargs.get("tools") or (), kwargs.get("tool_choice"))
    if function is None or not is_tool_forced(kwargs.get("tool_choice")):
        return AIMessage(text)
    try:
        arguments = json.loads(text)
    except ValueError:
        return AIMessage(text)
    if not isinstance(arguments, dict):
        return AIMessage(text)
    return AIMessage("", tool_calls=[tool_call(name=function["name"], args=arguments, id=f"call_{uuid4().hex}")])
