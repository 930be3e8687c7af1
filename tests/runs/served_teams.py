"""Teams that a test serves with `langgraph dev`, beside those of the example."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import GateContext, Team
from guardgraph.guards import Budget, Depth, GuardContext, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.nodes import Destination
from guardgraph.state import Request
from tests.graphs.teams import plan_of, team, worker


def asks(request: Request) -> str:
    """Ask a human."""
    return interrupt(f"May I {request.goal}?")


@tool
def price(vendor: str) -> str:
    """Look up what a vendor charges."""
    return "2.00 USD"


def answer(messages: Any) -> Any:
    """Call the tool, then say what it returned."""
    if messages[-1].type == "tool":
        return f"It charges {messages[-1].text}."
    return AIMessage("", tool_calls=[{"name": "price", "args": {"vendor": "Northwind"}, "id": "call"}])


@guard(at="handoff", on_trip=Retry(1))
def is_short(view: GuardContext) -> str | None:
    """Refuse what is not short; the second attempt is."""
    return None if view.subject.value == "short" else "make it short"


def _own() -> Any:
    first = Agent("first", run=lambda request: "short" if request.feedback else "far too long")
    last = Agent("last", run=lambda request: f"in short: {request.results[0].value}")

    def after(gate: GateContext) -> Destination:
        return gate.send(last) if gate.accepted else gate.conclude()

    served = Team("own", guards=[Depth(), is_short], entry=[first], author=last)
    served.add_agents([first], gate="handoff")
    served.add_gate("handoff", agents=[first], route=after)
    return served.build().compile()


def _metered() -> Any:
    model = ScriptedModel(replies=answer, input_tokens=100, output_tokens=10)
    researcher: Any = create_agent(model, [price])
    speaker = ScriptedModel(replies=lambda messages: "a report", input_tokens=10, output_tokens=5)
    return team(
        plan_of("a"),
        workers=[Agent("researcher", run=researcher)],
        synthesizer=Agent("writer", model=speaker),
        guards=[Budget(tokens=10_000)],
    ).compile()


below = team(plan_of("x", "y"), workers=[worker("asker", run=asks)]).compile()
nested = team(plan_of("a"), workers=[Agent("team", run=below)]).compile()
metered = _metered()
own = _own()
