"""Views built by hand: one subject at one gate, and what the test says of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from guardgraph.guards import GuardContext
from guardgraph.state import Evidence, Plan, Result, Subtask, Task

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def view_of_task(**facts: Any) -> GuardContext:
    """Return a task at admission."""
    return GuardContext(gate="admission", subject=Task(goal="compare", id="t-1"), now=facts.pop("now", NOW), **facts)


def view_of_subtask(**facts: Any) -> GuardContext:
    """Return a subtask at dispatch."""
    return GuardContext(gate="dispatch", subject=Subtask(id="s-1", goal="search"), now=facts.pop("now", NOW), **facts)


def view_of_result(
    value: Any = None, *, evidence: tuple[Evidence, ...] = (), sources: Any = None, **facts: Any
) -> GuardContext:
    """Return a result at handoff; `facts` are fields of the result."""
    result = Result(id="r-1", agent="analyst", value=value, evidence=evidence, **facts)
    return GuardContext(gate="handoff", subject=result, now=NOW, sources=sources or {})


def view_of_plan(plan: Plan, *, before: tuple[Plan, ...] = ()) -> GuardContext:
    """Return the plan of a round, after the rounds whose plans are given."""
    plans = [
        Result(id=f"p-{number}", agent="planner", round=number, value=earlier.model_dump(mode="json"))
        for number, earlier in enumerate(before, 1)
    ]
    return GuardContext(gate="round", subject=plan, now=NOW, state={"round": len(before) + 1, "plans": plans})


def plan_of(*goals: str, prefix: str = "s") -> Plan:
    """Return a plan that asks for `goals`, in this order."""
    return Plan(subtasks=tuple(Subtask(id=f"{prefix}{n}", goal=goal) for n, goal in enumerate(goals)))
