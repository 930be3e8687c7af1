"""What the offline models have in common: labels, counted tokens, bound tools, answers that are cut and streamed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models.base import LangSmithParams, LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

__all__ = (
    "PROVIDER",
    "OfflineModel",
    "answer",
    "chosen_tool",
    "chunks_of",
    "count_input",
    "count_output",
    "is_tool_forced",
    "result_of",
)

PROVIDER = "offline"
"""What every answer of an offline model names as its provider."""
_CHARACTERS_PER_TOKEN = 4
_FORCING = frozenset({"any", "required", "tool"})


class OfflineModel(BaseChatModel):
    """A chat model that needs no key: tools are bound in OpenAI's form, traces and meters read `offline`."""

    model_name: str
    """What it calls itself."""

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with `tools` to call; a script is shared."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(ls_provider=PROVIDER, ls_model_name=self.model_name, ls_model_type="chat")


def count_input(messages: Sequence[BaseMessage]) -> int:
    """Return the tokens of a prompt, approximately (4 characters a token and a few for each message)."""
    return count_tokens_approximately(messages)


def count_output(message: AIMessage) -> int:
    """Return the tokens of an answer: text and arguments of tool calls, 4 characters a token, at least 1."""
    written = message.text + "".join(json.dumps(call["args"], default=str) for call in message.tool_calls)
    return max(1, math.ceil(len(written) / _CHARACTERS_PER_TOKEN))


def is_tool_forced(tool_choice: object) -> bool:
    """Tell whether `tool_choice` demands a tool call: `any`, `required`, `True`, the name of a tool, or a dict."""
    return bool(tool_choice) and tool_choice not in ("auto", "none")


def chosen_tool(tools: Sequence[Mapping[str, Any]], tool_choice: object) -> Mapping[str, Any] | None:
    """Return the function that `tool_choice` names, else the last one bound: there an answer's schema stands."""
    functions = [tool["function"] for tool in tools if "function" in tool]
    name = _named(tool_choice)
    named = next((function for function in functions if function["name"] == name), None)
    return named or (functions[-1] if functions else None)


def answer(
    message: AIMessage,
    *,
    model_name: str,
    input_tokens: int,
    output_tokens: int | None = None,
    max_tokens: int | None = None,
) -> AIMessage:
    """Return `message` labelled and metered; what does not fit into `max_tokens` is cut, as a provider would cut it.

    `output_tokens` stands for the counted ones. A tool call that is cut is an invalid one.
    """
    wanted = count_output(message) if output_tokens is None else output_tokens
    is_cut = max_tokens is not None and wanted > max_tokens
    written = max_tokens if is_cut and max_tokens is not None else wanted
    finish = "length" if is_cut else ("tool_calls" if message.tool_calls else "stop")
    labels = {"provider": PROVIDER, "model_provider": PROVIDER, "model_name": model_name, "finish_reason": finish}
    kept = _cut(message, written / wanted) if is_cut else message
    return kept.model_copy(
        update={
            "response_metadata": {**message.response_metadata, **labels},
            "usage_metadata": UsageMetadata(
                input_tokens=input_tokens, output_tokens=written, total_tokens=input_tokens + written
            ),
        }
    )


def result_of(message: AIMessage) -> ChatResult:
    """Return `message` as what a chat model gives back."""
    return ChatResult(generations=[ChatGeneration(message=message)])


def chunks_of(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    """Yield `message` in pieces, word by word; the last piece carries the tool calls, the usage and the labels."""
    words = message.text.split(" ")
    texts = [word + " " for word in words[:-1]] + words[-1:]
    for text in texts:
        if text:
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
    calls: list[ToolCall | InvalidToolCall] = [*message.tool_calls, *message.invalid_tool_calls]
    yield ChatGenerationChunk(
        message=AIMessageChunk(
            content="",
            tool_call_chunks=[
                tool_call_chunk(name=call["name"], args=_written(call["args"]), id=call["id"], index=index)
                for index, call in enumerate(calls)
            ],
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
    )


def _named(tool_choice: object) -> str | None:
    if isinstance(tool_choice, Mapping):
        function: Any = tool_choice.get("function", tool_choice)
        return str(function.get("name"))
    return tool_choice if isinstance(tool_choice, str) and tool_choice not in _FORCING else None


def _cut(message: AIMessage, part: float) -> AIMessage:
    content = message.text[: int(len(message.text) * part)]
    spoiled = [
        InvalidToolCall(
            name=call["name"],
            args=(arguments := _written(call["args"]))[: int(len(arguments) * part)],
            id=call["id"],
            error="the answer was cut at `max_tokens`",
            type="invalid_tool_call",
        )
        for call in message.tool_calls
    ]
    return message.model_copy(update={"content": content, "tool_calls": [], "invalid_tool_calls": spoiled})


def _written(arguments: object) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
