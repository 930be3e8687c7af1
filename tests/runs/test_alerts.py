"""What a run tells of its budget while it is spent."""

from __future__ import annotations

from typing import Any

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import Plan, Request, RunEvent, Subtask

MARKS = [
    ("alert", "50% of the budget is spent"),
    ("alert", "80% of the budget is spent"),
    ("trip", "no tokens left"),
    ("alert", "100% of the budget is spent"),
]


def plan(request: Request) -> Plan:
    """Eleven subtasks, one after the other, once."""
    ids = [str(number) for number in range(11)]
    tasks = (Subtask(id=one, goal=one, depends_on=tuple(ids[:place])) for place, one in enumerate(ids))
    return Plan() if request.round > 1 else Plan(subtasks=tuple(tasks))


def team() -> Any:
    model = ScriptedModel(replies=lambda messages: "said", input_tokens=90, output_tokens=10)
    worker = Agent("worker", run=lambda request: model.invoke("go", max_tokens=10).text)
    return supervisor(
        planner=Agent("planner", run=plan), workers=[worker], guards=[Budget(tokens=1000, reserve=0)], synthesizer=None
    )


def test_each_mark_of_the_budget_is_one_alert(database_url: str) -> None:
    events: list[RunEvent] = []
    with Runner(database_url, graphs={"team": team}, on_event=events.append) as runner:
        run = runner.run("team", "t")

    assert (run.status, run.usage.tokens) == ("degraded", 1000)
    assert [(one.action, one.reason) for one in run.state["verdicts"]] == MARKS
    assert [(one.data["action"], one.data["reason"]) for one in events if one.kind == "verdict"] == MARKS


def test_what_was_spent_last_is_an_alert_of_alternatives_too(sqlite_url: str) -> None:
    model = ScriptedModel(replies=lambda messages: "said", input_tokens=90, output_tokens=10)
    either = Budget(tokens=300, reserve=0) | Budget(tokens=200, reserve=0)
    graph = pipeline([Agent(name, model=model, max_tokens=10) for name in "abc"], guards=[either])

    with Runner(sqlite_url) as runner:
        run = runner.run(graph, "t")

    assert run.usage.tokens == 300
    assert [one.limit for one in run.state["verdicts"]] == [0.5, 1.0]
