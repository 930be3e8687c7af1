"""Small teams for tests: planners that follow a script, workers that are functions or scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Outcome, Plan, Request, Subtask

Ask = Callable[[Any, Any], Outcome]


def plan_of(*ids: str, **facts: Any) -> Plan:
    """Return a plan of one subtask for each id."""
    return Plan(subtasks=tuple(Subtask(id=id_, goal=f"do {id_}", **facts) for id_ in ids))


def planner(*plans: Plan, name: str = "planner") -> Agent:
    """Return a planner that says these plans round by round, and then has enough."""

    def plan(request: Request) -> Plan:
        return plans[request.round - 1] if request.round <= len(plans) else Plan()

    return Agent(name, run=plan)


def echo(request: Request) -> str:
    """Answer the goal."""
    return f"done: {request.goal}"


def gather(request: Request) -> list[Any]:
    """Write a report: the list of accepted values."""
    return [piece.value for piece in request.results]


def worker(name: str = "worker", run: Callable[[Request], Any] = echo, **facts: Any) -> Agent:
    """Return a worker that is a function."""
    return Agent(name, run=run, **facts)


def speaker(name: str, *, read: int, written: int, delay: float = 0, **facts: Any) -> Agent:
    """Return a model agent whose every call costs `read` + `written` tokens."""
    model = ScriptedModel(replies=lambda _: "said", input_tokens=read, output_tokens=written, delay=delay)
    return Agent(name, model=model, **facts)


def listed(outcome: Outcome) -> list[Any]:
    """Return the value of an outcome that has to be a list."""
    assert isinstance(outcome.value, list)
    return outcome.value


def team(
    *plans: Plan, workers: Sequence[Agent] = (), guards: Sequence[Guard] | None = None, **facts: Any
) -> StateGraph[Any, Any, Any, Any]:
    """Return a supervisor with a scripted planner and, unless told otherwise, a writer that gathers."""
    staff = list(workers) or [worker()]
    facts.setdefault("synthesizer", Agent("writer", run=gather))
    return supervisor(planner=planner(*plans), workers=staff, guards=guards, **facts)


def ask_sync(graph: Any, task: Any = "the task", config: Any = None) -> Outcome:
    """Run a graph with `invoke`; return its outcome."""
    return graph.invoke({"task": task}, config)["outcome"]


def ask_async(graph: Any, task: Any = "the task", config: Any = None) -> Outcome:
    """Run a graph with `ainvoke` on a loop of its own; return its outcome."""

    async def ask() -> Outcome:
        return (await graph.ainvoke({"task": task}, config))["outcome"]

    return asyncio.run(ask())


WAYS = {"sync": ask_sync, "async": ask_async}
"""Both ways to run a graph, by name."""
