"""Agents that never stop by themselves, with what they count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.graph.state import CompiledStateGraph

from guardgraph.models.offline import ScriptedModel


def calls(*names: str, text: str = "let me see", **arguments: Any) -> AIMessage:
    """Return an answer that calls tools, each with the same arguments."""
    tools = [{"name": name, "args": arguments, "id": f"call_{n}"} for n, name in enumerate(names)]
    return AIMessage(text, tool_calls=tools)


class Loop:
    """An agent of `create_agent` that calls one tool without end, and what it has done.

    `reply` is what its model answers to the messages; it searches for `x` by default.
    """

    def __init__(self, reply: Callable[[list[BaseMessage]], Any] | None = None, **facts: Any) -> None:
        self.searched: list[str] = []
        searched = self.searched

        @tool
        def search(q: str) -> str:
            """Search for something."""
            searched.append(q)
            return f"found nothing on {q}"

        self.tool = search
        self.model = ScriptedModel(
            replies=reply or (lambda _: calls("search", q="x")), input_tokens=60, output_tokens=40
        )
        self.agent: CompiledStateGraph[Any, Any, Any, Any] = create_agent(self.model, [search], name="loop", **facts)

    @property
    def counts(self) -> tuple[int, int]:
        """The calls of the model, and of the tool."""
        return self.model.calls, len(self.searched)
