"""The same team written by hand on LangGraph: no guard, no budget, no review, no accounting."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from bench.measuring.fake_model import FakeModel, Line
from bench.teams.planning import PLANS
from bench.teams.team import FOUND, REPORT, TASK, WORKERS, Team
from guardgraph.state import Plan

__all__ = ("plain",)


class _State(TypedDict, total=False):
    task: str
    plan: Plan
    goal: str
    found: Annotated[list[str], operator.add]
    report: str


def plain(name: str) -> Team:
    """Plan, three workers at a time, plan again, write."""
    planner, writer = FakeModel(lines=PLANS), FakeModel(lines=[Line(REPORT)])
    workers = {worker: FakeModel(lines=[Line(FOUND)]) for worker in WORKERS}
    planning = planner.with_structured_output(Plan)

    def plan(state: _State) -> dict[str, Any]:
        return {"plan": planning.invoke([HumanMessage(_asked(state))])}

    def send(state: _State) -> Any:
        subtasks = state["plan"].subtasks  # pyright: ignore[reportTypedDictNotRequiredAccess] - `plan` has run
        return [Send(str(subtask.skill), {"goal": subtask.goal}) for subtask in subtasks] or "write"

    def write(state: _State) -> dict[str, Any]:
        return {"report": writer.invoke([HumanMessage(_asked(state))]).text}

    graph: Any = StateGraph(_State)
    graph.add_node("plan", plan)
    graph.add_node("write", write)
    for worker, model in workers.items():
        graph.add_node(worker, _worker(model))
        graph.add_edge(worker, "plan")
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", send, [*WORKERS, "write"])
    graph.add_edge("write", END)
    team = graph.compile()

    def run() -> str:
        return team.invoke({"task": TASK})["report"]

    return Team(name, run, [planner, writer, *workers.values()], calls=6)


def _worker(model: FakeModel) -> Any:
    def work(state: _State) -> dict[str, Any]:
        return {"found": [model.invoke([HumanMessage(state.get("goal", ""))]).text]}

    return work


def _asked(state: _State) -> str:
    return "\n".join([state.get("task", ""), *state.get("found", [])])
