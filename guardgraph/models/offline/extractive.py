"""A model without a model: it answers with sentences of the documents that it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatResult
from pydantic import Field

from guardgraph.models.offline.offline_model import (
    OfflineModel,
    answer,
    chosen_tool,
    count_input,
    count_output,
    is_tool_forced,
    result_of,
)
from guardgraph.models.offline.prompt_parser import Matter, matter_of
from guardgraph.models.offline.schema_filler import fill

__all__ = ("ExtractiveModel",)

_QUESTIONS = frozenset({"query", "question", "goal", "q"})


class ExtractiveModel(OfflineModel):
    """A deterministic chat model that needs no key: it understands nothing and invents nothing.

    It reads the goal (after `Goal:`) and the documents out of the messages, ranks their sentences by the words they
    share with the goal, and answers with the best ones: as text, or in the fields of a schema that is asked for by a
    tool call. A bound tool that takes a question is called once, with the goal, before it answers. No quality is
    claimed: use it to see a graph work, and in tests. Under `max_tokens` it uses fewer sentences before it is cut.
    """

    sentences: int = Field(default=3, ge=1, le=100)
    """At most this many sentences make a text, and this many items a list."""
    max_tokens: int | None = Field(default=None, ge=1)
    """At most this many output tokens a call; a bound `max_tokens` comes first."""
    model_name: str = "extractive"
    """What it calls itself."""

    @property
    def _llm_type(self) -> str:
        return "offline-extractive"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        limit = kwargs.get("max_tokens") or self.max_tokens
        function = _function(messages, kwargs.get("tools") or (), kwargs.get("tool_choice"))
        matter = matter_of(messages)
        message = _draft(replace(matter, most=self.sentences), function)
        for most in range(self.sentences - 1, 0, -1):
            if limit is None or count_output(message) <= limit:
                break
            message = _draft(replace(matter, most=most), function)
        return result_of(
            answer(message, model_name=self.model_name, input_tokens=count_input(messages), max_tokens=limit)
        )


def _function(
    messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]], tool_choice: object
) -> Mapping[str, Any] | None:
    """Choose what to call: a tool that takes a question until it has answered, then the schema that is demanded."""
    has_answer = any(isinstance(message, ToolMessage) for message in messages)
    asking = [tool for tool in tools if _takes_a_question(tool["function"])]
    if asking and not has_answer and tool_choice in (None, "auto", "any", "required", True):
        return asking[0]["function"]
    return chosen_tool(tools, tool_choice) if is_tool_forced(tool_choice) else None


def _takes_a_question(function: Mapping[str, Any]) -> bool:
    parameters = function.get("parameters") or {}
    required = parameters.get("required") or ()
    return len(required) == 1 and required[0] in _QUESTIONS


def _draft(matter: Matter, function: Mapping[str, Any] | None) -> AIMessage:
    if function is None:
        return AIMessage(matter.text)
    schema = function.get("parameters") or {}
    is_question = _takes_a_question(function)
    arguments = {schema["required"][0]: matter.goal} if is_question else fill(schema, matter)
    key = sha256(f"{function['name']}\n{arguments!r}".encode()).hexdigest()[:24]
    return AIMessage("", tool_calls=[tool_call(name=function["name"], args=arguments, id=f"call_{key}")])
