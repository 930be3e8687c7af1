from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model

from guardgraph.state import BadInput, ContextItem, Documented, Messages, OptionalInput, Task, TaskInput, merge_messages

PIECE = ContextItem(kind="gap", title="t")
Tool: type[BaseModel] = create_model(
    "Tool", task=(TaskInput, Field(...)), background=(OptionalInput[ContextItem], Field(...))
)


def test_messages_are_merged_by_their_ids() -> None:
    first = merge_messages(None, [HumanMessage("a", id="1")])
    both = merge_messages(first, [("ai", "b"), HumanMessage("c", id="1")])

    assert [(message.type, message.text) for message in both] == [("human", "c"), ("ai", "b")]
    assert merge_messages(both, None) == both
    assert merge_messages(both, both) == both


@pytest.mark.parametrize("given", [[object()], [{"content": "x"}], 7, [("poet", "x")]])
def test_what_is_no_message_is_bad_input(given: Any) -> None:
    with pytest.raises(BadInput, match="`messages` is a list of LangChain messages"):
        merge_messages([AIMessage("a")], given)


def test_a_tool_requires_the_task_as_a_text_and_shows_nothing_else() -> None:
    shown = Tool.model_json_schema()

    assert shown["required"] == ["task"]
    assert {name: field["type"] for name, field in shown["properties"].items()} == {"task": "string"}


def test_a_tool_takes_more_than_it_shows() -> None:
    task = Task(goal="g")

    assert Tool.model_validate({"task": task, "background": [PIECE]}).model_dump()["background"] == [PIECE.model_dump()]
    assert Tool.model_validate({"task": {"question": "g"}}).model_dump() == {
        "task": {"question": "g"},
        "background": [],
    }
    with pytest.raises(ValidationError, match=r"background\.0\.kind"):
        Tool.model_validate({"task": task, "background": [{"kind": "rumour", "title": "t"}]})


def test_documented_inputs_are_shown_as_what_they_take() -> None:
    shown = TypeAdapter(Annotated[OptionalInput[ContextItem], Documented()]).json_schema()
    task = TypeAdapter(Annotated[TaskInput, Documented()]).json_schema()

    assert (shown["type"], shown["items"]) == ("array", {"$ref": "#/$defs/ContextItem"})
    assert [one.get("type", "a task") for one in task["anyOf"]] == ["a task", "object", "string"]


def test_messages_have_a_short_schema() -> None:
    assert TypeAdapter(Messages).json_schema()["items"]["required"] == ["content"]
