"""A chat model that answers at once, so that only the orchestration around it costs anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

__all__ = ("FakeModel", "Line")


class Line(NamedTuple):
    """One answer: a text, or a call of a tool."""

    text: str = ""
    tool: str | None = None
    arguments: dict[str, Any] = {}  # noqa: RUF012 - never written to


class FakeModel(BaseChatModel):
    """Says its lines one after the other, over and over; each says that 100 tokens were read and 20 written."""

    lines: Sequence[Line]

    _calls: int = PrivateAttr(default=0)

    @property
    def calls(self) -> int:
        """How often it was called."""
        return self._calls

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Return the model as it is: its lines know which tools to call."""
        return self.bind()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        line = self.lines[self._calls % len(self.lines)]
        self._calls += 1
        calls = [tool_call(name=line.tool, args=line.arguments, id=f"call_{self._calls}")] if line.tool else []
        usage: Any = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        message = AIMessage(line.text, tool_calls=calls, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])
