"""The base of the offline models: labels, counted tokens, bound tools, answers that are cut and streamed."""

from __future__ import annotations

import json
import math
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

__all__ = (
    "PROVIDER",
    "OfflineModel",
    "chosen_tool",
    "chunks_of",
    "count_output",
    "is_tool_forced",
    "labelled",
    "result_of",
)

PROVIDER = "offline"
"""The provider in the metadata of every answer of an offline model."""
_CHARACTERS_PER_TOKEN = 4


class OfflineModel(BaseChatModel):
    """A chat model that needs no key: tools are bound in OpenAI's form, traces name the provider `offline`."""

    model_name: str
    """The name in its answers and in traces."""

    @abstractmethod
    def answer(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Return the answer to `messages`; `options` are the arguments of the call and those that are bound."""

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with `tools` to call; a script is shared."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    @property
    def _llm_type(self) -> str:
        return f"offline-{self.model_name}"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return result_of(self.answer(messages, kwargs))

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(ls_provider=PROVIDER, ls_model_name=self.model_name, ls_model_type="chat")


def count_output(message: AIMessage) -> int:
    """Return the tokens of an answer: text and arguments of tool calls, 4 characters a token, at least 1."""
    written = message.text + "".join(json.dumps(call["args"], default=str) for call in message.tool_calls)
    return max(1, math.ceil(len(written) / _CHARACTERS_PER_TOKEN))


def is_tool_forced(tool_choice: object) -> bool:
    """Return whether `tool_choice` requires a tool call: `any`, `required`, `True`, the name of a tool, or a dict."""
    return bool(tool_choice) and tool_choice not in ("auto", "none")


def chosen_tool(tools: Sequence[Mapping[str, Any]], tool_choice: object) -> Mapping[str, Any] | None:
    """Return the function that `tool_choice` names, else the last one bound, which holds an answer's schema."""
    functions = [tool["function"] for tool in tools if "function" in tool]
    choice: Any = (
        tool_choice.get("function", tool_choice) if isinstance(tool_choice, Mapping) else {"name": tool_choice}
    )
    named = [function for function in functions if function["name"] == choice.get("name")]
    return next(reversed([*functions, *named]), None)


def labelled(
    message: AIMessage,
    *,
    model_name: str,
    input_tokens: int,
    output_tokens: int | None = None,
    max_tokens: int | None = None,
) -> AIMessage:
    """Return `message` with labels and usage; it is cut at `max_tokens` as a provider would cut it.

    `output_tokens` replaces the counted ones. A tool call that is cut is an invalid one.
    """
    wanted = count_output(message) if output_tokens is None else output_tokens
    finish, written = "tool_calls" if message.tool_calls else "stop", wanted
    if max_tokens is not None and wanted > max_tokens:
        finish, written, message = "length", max_tokens, _cut(message, max_tokens / wanted)
    labels = {"provider": PROVIDER, "model_provider": PROVIDER, "model_name": model_name, "finish_reason": finish}
    usage = UsageMetadata(input_tokens=input_tokens, output_tokens=written, total_tokens=input_tokens + written)
    metadata = {**message.response_metadata, **labels}
    return message.model_copy(update={"response_metadata": metadata, "usage_metadata": usage})


def result_of(message: AIMessage) -> ChatResult:
    """Return `message` as the result of a chat model."""
    return ChatResult(generations=[ChatGeneration(message=message)])


def chunks_of(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """Yield `message` word by word; the last chunk has the tool calls, the usage and the labels."""
    for text in re.findall("[^ ]* |[^ ]+$", message.text):
        yield ChatGenerationChunk(message=AIMessageChunk(content=text))
    calls: list[ToolCall | InvalidToolCall] = [*message.tool_calls, *message.invalid_tool_calls]
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            tool_call_chunks=[
                tool_call_chunk(name=call["name"], args=_as_text(call["args"]), id=call["id"], index=index)
                for index, call in enumerate(calls)
            ],
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
    )


def _cut(message: AIMessage, part: float) -> AIMessage:
    """Return the first `part` (0 to 1) of a message; its tool calls are invalid."""
    content = message.text[: int(len(message.text) * part)]
    calls: list[InvalidToolCall] = []
    for call in message.tool_calls:
        arguments, error = json.dumps(call["args"], default=str), "the answer was cut at `max_tokens`"
        cut = arguments[: int(len(arguments) * part)]
        calls.append(InvalidToolCall(name=call["name"], args=cut, id=call["id"], error=error, type="invalid_tool_call"))
    return message.model_copy(update={"content": content, "tool_calls": [], "invalid_tool_calls": calls})


def _as_text(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
