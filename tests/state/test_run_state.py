"""The state of a team keeps its words, and tells the outside no more than it should."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from pydantic import TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from guardgraph.state import (
    AgentInput,
    DelegationScope,
    EarlyStop,
    Gap,
    Outcome,
    Plan,
    Result,
    RunState,
    Subtask,
    Task,
    TeamInput,
    TeamOutput,
    Verdict,
)
from guardgraph.storage import SQLSaver

FULL: RunState = {
    "admitted": Task(goal="g", id="t"),
    "position": DelegationScope(
        run_id="r", account="r", spending_account="r/work", started=datetime(2030, 1, 1, tzinfo=UTC)
    ),
    "plan": Plan(subtasks=(Subtask(id="a", goal="g"),)),
    "subtasks": [Subtask(id="a", goal="g")],
    "round": 1,
    "results": [Result(id="r1", agent="w", value={"x": [1]})],
    "accepted": ["r1"],
    "gaps": [Gap(subtask="b", reason="late")],
    "verdicts": [Verdict(guard="Depth", gate="dispatch", subject="a", measured=[1])],
    "draft": Result(id="r2", agent="writer", status="partial"),
    "ending": EarlyStop(status="degraded", stopped_by="Budget"),
    "outcome": Outcome(status="degraded", gaps=(Gap(subtask="b", reason="late"),)),
}


def told() -> StateGraph[RunState, None, TeamInput, TeamOutput]:
    graph = StateGraph(RunState, input_schema=TeamInput, output_schema=TeamOutput)
    graph.add_node("all", lambda state: FULL)
    graph.add_edge(START, "all")
    graph.add_edge("all", END)
    return graph


@pytest.mark.parametrize("schema", [TeamInput, TeamOutput, AgentInput, RunState])
def test_a_schema_has_a_json_schema(schema: type[Any]) -> None:
    assert is_typeddict(schema)
    assert set(TypeAdapter(schema).json_schema()["properties"]) == set(schema.__annotations__)


@pytest.mark.parametrize("task", ["Compare", {"goal": "Compare"}, Task(goal="Compare")], ids=["text", "dict", "task"])
def test_a_team_is_asked_by_text_by_dict_or_by_task(task: Any) -> None:
    assert told().compile().invoke({"task": task})["outcome"] == FULL.get("outcome")


def test_every_word_of_the_state_comes_back_from_the_database() -> None:
    config: RunnableConfig = {"configurable": {"thread_id": "t"}}
    with SQLSaver.from_url("sqlite://") as saver:
        graph = told().compile(checkpointer=saver)
        graph.invoke({"task": "g"}, config)
        values = graph.get_state(config).values

    assert {name: values[name] for name in FULL} == FULL


def test_an_ending_has_a_known_status() -> None:
    with pytest.raises(ValidationError, match=r"Input should be 'completed', 'degraded', .*'refused', 'cancelled' or"):
        EarlyStop.model_validate({"status": "tired"})
