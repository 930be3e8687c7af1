"""Suites and graphs for the tests of this folder."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from guardgraph.evals import Case, Suite
from guardgraph.state import Outcome, RunState, Task, TeamInput, TeamOutput


def suite_of(*ids: str, name: str = "letters") -> Suite:
    """Return a suite in which every case expects its own id in the answer."""
    return Suite(
        name=name, cases=tuple(Case(id=one, task=Task(goal=f"say {one}", id=one), expected_facts=(one,)) for one in ids)
    )


def saying(task: Task) -> Outcome:
    """Return the word of the task; raise when it is `boom`."""
    word = task.goal.removeprefix("say ")
    if word == "boom":
        raise RuntimeError("it went off")
    return Outcome(status="completed", value={"report": f"I say {word}."})


def saying_graph(*, checkpointed: bool = False) -> Any:
    """Return `saying` as a compiled graph."""

    def say(state: TeamInput) -> dict[str, Any]:
        task = state.get("task")
        assert isinstance(task, Task)
        return {"outcome": saying(task)}

    graph = StateGraph(RunState, input_schema=TeamInput, output_schema=TeamOutput)
    graph.add_node("say", say)
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    return graph.compile(checkpointer=InMemorySaver() if checkpointed else None)
