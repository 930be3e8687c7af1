"""An agent that exists already, made with LangChain's `create_agent`, joins a guarded team in one line.

Run it with `python examples/existing_agent.py`; it needs the extra `agents` and no key.
"""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Plan, Request, Subtask


@tool
def price(vendor: str) -> str:
    """Look up what a vendor charges."""
    return {"Northwind": "2.00 USD", "Contoso": "2.40 USD"}[vendor]


def answer(messages: Any) -> Any:
    """Stand in for a real model: call the tool, then say what it returned."""
    last = messages[-1]
    if last.type == "tool":
        return f"It charges {last.text}."
    vendor = last.text.splitlines()[0].removeprefix("Goal: ")
    return AIMessage("", tool_calls=[{"name": "price", "args": {"vendor": vendor}, "id": vendor}])


def plan(request: Request) -> Plan:
    """Ask for one search per vendor, once."""
    names = () if request.results else ("Northwind", "Contoso")
    return Plan(subtasks=tuple(Subtask(id=name.lower(), goal=name) for name in names))


def main() -> None:
    """Run the team and print what it says and what it used."""
    model = ScriptedModel(replies=answer, input_tokens=100, output_tokens=10)
    researcher: Any = create_agent(model, [price], system_prompt="You look up prices.")

    team = supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("researcher", run=researcher)],  # the one line
        guards=[Budget(tokens=5_000)],
    )
    outcome = team.compile().invoke({"task": "What do the vendors charge?"})["outcome"]
    for item in outcome.value:
        print(item["subtask"], "-", item["value"])
    print(outcome.status, "-", outcome.usage.calls, "model calls,", outcome.usage.tokens, "tokens")


if __name__ == "__main__":
    main()
