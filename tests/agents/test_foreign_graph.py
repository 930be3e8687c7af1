"""The last state of a graph that is not ours."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from guardgraph.agents.foreign_graph import answered, text_of_run, value_of
from tests.graphs.loops import calls


class Report(BaseModel):
    title: str


FOUND = ToolMessage("found", tool_call_id="call_0")


@pytest.mark.parametrize(
    ("state", "value"),
    [
        (None, None),
        ({"structured_response": Report(title="t"), "messages": [AIMessage("said")]}, {"title": "t"}),
        ({"structured_response": None, "messages": [AIMessage("said")]}, "said"),
        ({"messages": []}, None),
        ({"count": 1, "report": Report(title="t")}, {"count": 1, "report": {"title": "t"}}),
        ({"odd": float("nan")}, {"odd": "nan"}),
        ({"messages": "no list"}, {"messages": "no list"}),
    ],
)
def test_the_value_of_a_state_is_json(state: Any, value: Any) -> None:
    assert value_of(state) == value


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([HumanMessage("q"), AIMessage("old"), HumanMessage("q2"), AIMessage("")], ""),
        ([HumanMessage("q"), AIMessage("first"), AIMessage("last")], "last"),
        ([HumanMessage("q"), calls("search", text=""), FOUND], "found"),
        ([HumanMessage("q"), calls("search", text="look"), FOUND], "look"),
        ([HumanMessage("q"), ToolMessage("no", tool_call_id="1", status="error")], ""),
        ([], ""),
    ],
)
def test_the_text_of_a_run_is_that_since_it_was_asked(messages: Any, text: str) -> None:
    assert text_of_run(messages) == text


def test_every_tool_call_gets_an_answer_in_its_place() -> None:
    messages = [HumanMessage("q"), calls("a", "b"), FOUND, AIMessage("end")]

    repaired = answered(messages, "too much")

    assert [one.type for one in repaired] == ["human", "ai", "tool", "tool", "ai"]
    assert {one.tool_call_id for one in repaired if isinstance(one, ToolMessage)} == {"call_0", "call_1"}
    assert [one.text for one in repaired if getattr(one, "status", "") == "error"] == ["no result: too much"]
    assert answered(repaired, "again") == repaired


def test_calls_of_the_same_id_are_answered_each() -> None:
    repaired = answered([calls("a"), FOUND, calls("a")], "too much")

    assert [one.type for one in repaired] == ["ai", "tool", "ai", "tool"]
