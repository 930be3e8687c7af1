"""An agent of LangChain's `create_agent` that never stops searching, with a hard budget and a detection of loops.

Run it with `python examples/guard_your_agent.py`; it needs the extra `agents` and no key.
"""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from guardgraph.agents import GuardMiddleware
from guardgraph.guards import Budget, Repetition
from guardgraph.models.offline import ScriptedModel


@tool
def search(query: str) -> str:
    """Search the web."""
    return "nothing found"


def stuck(messages: Any) -> AIMessage:
    """Stand in for a real model that calls the same tool for ever."""
    return AIMessage("I am still looking.", tool_calls=[{"name": "search", "args": {"query": "x"}, "id": "1"}])


def main() -> None:
    """Run the agent and print how it ended."""
    model = ScriptedModel(replies=stuck, input_tokens=100, output_tokens=10)
    agent: Any = create_agent(model, [search], middleware=[GuardMiddleware([Budget(usd="0.50"), Repetition(3)])])

    outcome = agent.invoke({"messages": [("user", "Find it.")]})["outcome"]
    print(outcome.status, "by", outcome.stopped_by, "-", outcome.value)
    print(outcome.reason)
    print(outcome.usage.calls, "model calls,", outcome.usage.tokens, "tokens")


if __name__ == "__main__":
    main()
