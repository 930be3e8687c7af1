"""A chat model without a language model: it answers with sentences of the documents in its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.messages.utils import count_tokens_approximately
from pydantic import Field

from guardgraph.models.offline.offline_model import (
    OfflineModel,
    chosen_tool,
    count_output,
    is_tool_forced,
    labelled,
)
from guardgraph.models.offline.prompt_parser import ParsedPrompt, parse_prompt
from guardgraph.models.offline.schema_filler import fill_schema

__all__ = ("ExtractiveModel",)

_QUESTIONS = frozenset({"query", "question", "goal", "q"})


class ExtractiveModel(OfflineModel):
    """A deterministic chat model that needs no key: it understands nothing and invents nothing.

    It reads the goal (after `Goal:`) and the documents from the messages, ranks their sentences by the words they
    share with the goal, and answers with the best ones: as text, or in the fields of the schema of a required tool
    call. A bound tool that takes a question is called once, with the goal, before it answers. No quality is claimed:
    use it to see a graph work, and in tests. Under `max_tokens` it uses fewer sentences before its answer is cut.
    """

    sentences: int = Field(default=3, ge=1, le=100)
    """At most this many sentences make a text, and this many items a list."""
    max_tokens: int | None = Field(default=None, ge=1)
    """At most this many output tokens a call; a bound `max_tokens` comes first."""
    model_name: str = "extractive"
    """The name in its answers and in traces."""

    def answer(self, messages: list[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Return the best sentences for the goal of the last prompt, or the call of a tool."""
        limit = options.get("max_tokens") or self.max_tokens
        function = _function(messages, options.get("tools") or (), options.get("tool_choice"))
        prompt = parse_prompt(messages)
        message = _draft(prompt._replace(limit=self.sentences), function)
        for count in range(self.sentences - 1, 0, -1):
            if limit is None or count_output(message) <= limit:
                break
            message = _draft(prompt._replace(limit=count), function)
        return labelled(
            message, model_name=self.model_name, input_tokens=count_tokens_approximately(messages), max_tokens=limit
        )


def _function(
    messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]], tool_choice: object
) -> Mapping[str, Any] | None:
    """Choose what to call: a tool that takes a question until it has answered, then the schema that is required."""
    has_answer = any(isinstance(message, ToolMessage) for message in messages)
    search = next((tool["function"] for tool in tools if _takes_a_question(tool["function"])), None)
    if search and not has_answer and tool_choice in (None, "auto", "any", "required", True):
        return search
    return chosen_tool(tools, tool_choice) if is_tool_forced(tool_choice) else None


def _takes_a_question(function: Mapping[str, Any]) -> bool:
    parameters = function.get("parameters") or {}
    required = parameters.get("required") or ()
    return len(required) == 1 and required[0] in _QUESTIONS


def _draft(prompt: ParsedPrompt, function: Mapping[str, Any] | None) -> AIMessage:
    if function is None:
        return AIMessage(prompt.text)
    schema = function.get("parameters") or {}
    is_question = _takes_a_question(function)
    arguments = {schema["required"][0]: prompt.goal} if is_question else fill_schema(schema, prompt)
    key = sha256(f"{function['name']}\n{arguments!r}".encode()).hexdigest()[:24]
    return AIMessage("", tool_calls=[tool_call(name=function["name"], args=arguments, id=f"call_{key}")])
