"""Three teams for `langgraph dev`: research in this project's pages, a supervisor, and a pipeline that asks a human.

No team is compiled with a checkpointer: the server brings its own, or the one that `langgraph.json` names.
"""

from __future__ import annotations

from pathlib import Path

from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget, Convergence, Deadline, Depth
from guardgraph.research import research as research_team
from guardgraph.state import Plan, Request, Subtask

PRICES = {"Northwind": "2.00 USD", "Contoso": "2.40 USD"}


def plan(request: Request) -> Plan:
    """Ask for one search per vendor, once."""
    names = () if request.results else tuple(PRICES)
    return Plan(subtasks=tuple(Subtask(id=name.lower(), goal=name) for name in names))


async def search(request: Request) -> str:
    """Look up the price of the vendor that the subtask names."""
    return f"{request.goal} charges {PRICES[request.goal]}"


def write(request: Request) -> str:
    """Put together what was accepted."""
    return "; ".join(str(piece.value) for piece in request.results)


def draft(request: Request) -> str:
    """Write the order that somebody has to approve."""
    return f"Order: {request.goal}"


def approve(request: Request) -> str:
    """Wait for a human's word."""
    return interrupt({"question": "May it be sent?", "draft": request.results[0].value})


def send(request: Request) -> str:
    """Send the order, or say why it was not sent."""
    order, word = (piece.value for piece in request.results)
    return f"sent: {order}" if word == "yes" else f"not sent: {word}"


research = research_team([Path(__file__).resolve().parents[2] / "docs"], concurrency=2).compile()

vendors = supervisor(
    planner=Agent("planner", run=plan),
    workers=[Agent("researcher", run=search)],
    synthesizer=Agent("writer", run=write),
    guards=[Depth(2), Budget(tokens=10_000), Deadline(60), Convergence(rounds=2)],
).compile()

approval = pipeline([Agent("draft", run=draft), Agent("approve", run=approve), Agent("send", run=send)]).compile()
