"""The input and output of graphs with a `messages` channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from guardgraph.agents.prompt import render
from guardgraph.agents.results import InvalidAnswer
from guardgraph.state import Request

__all__ = ("last_text", "messages_input", "messages_output")


def messages_input(request: Request) -> dict[str, Any]:
    """Return a request as the message of a human."""
    return {"messages": [HumanMessage(render(request))]}


def messages_output(output: Mapping[str, Any]) -> Any:
    """Return the structured response, if there is one, else the text of the last message."""
    structured = output.get("structured_response")
    return last_text(output["messages"]) if structured is None else structured


def last_text(messages: Sequence[Any]) -> str:
    """Return the text of the last message. Raises `InvalidAnswer` for no text, and for a broken tool call."""
    last = messages[-1]
    if isinstance(last, AIMessage) and last.invalid_tool_calls and not last.text:
        broken = last.invalid_tool_calls[0]
        raise InvalidAnswer(
            f"the model's tool call cannot be read: {broken.get('name')}({str(broken.get('args'))[:200]})"
        )
    if not last.text.strip():
        raise InvalidAnswer("the model's answer has no text")
    return last.text
