"""What an agent said last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage

from guardgraph.agents.results import InvalidAnswer

__all__ = ("last_text",)


def last_text(messages: Sequence[Any]) -> str:
    """Return what an agent said last. Raises `Invalid` for no text, and for a broken tool call."""
    last = messages[-1]
    if isinstance(last, AIMessage) and last.invalid_tool_calls and not last.text:
        broken = last.invalid_tool_calls[0]
        raise InvalidAnswer(
            f"the model's tool call cannot be read: {broken.get('name')}({str(broken.get('args'))[:200]})"
        )
    if not last.text.strip():
        raise InvalidAnswer("the model has answered without a word")
    return last.text
