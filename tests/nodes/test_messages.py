from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from guardgraph.nodes.messages import final_update, run_input
from guardgraph.state import BadInput, DelegationScope, Gap, Outcome, Task
from guardgraph.storage.sql.codec.codec import Codec

IMAGE = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
POSITION = DelegationScope(
    run_id="r", account="r", spending_account="r", path=("desk",), started=datetime(2030, 1, 1, tzinfo=UTC)
)


def said(*messages: AnyMessage, **state: Any) -> tuple[Any, list[tuple[str, Any]]]:
    """Return the goal and the background of a conversation."""
    asked = run_input({"messages": list(messages), **state})
    return asked.task, [(item.sender, item.value) for item in asked.background]


def test_the_last_message_of_a_human_is_the_goal_and_all_others_are_background() -> None:
    call = {"name": "find", "args": {}, "id": "1"}
    goal, background = said(
        SystemMessage("be kind"),
        HumanMessage("first", name="ann"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("found", tool_call_id="1", name="find"),
        ToolMessage("nothing", tool_call_id="2"),
        AIMessage("it is so"),
        ChatMessage(content="indeed", role="critic"),
        HumanMessage("last"),
        AIMessage("let me see", name="desk"),
    )

    assert goal == "last"
    assert background == [
        ("system", "be kind"),
        ("ann", "first"),
        ("find", "found"),
        ("tool", "nothing"),
        ("assistant", "it is so"),
        ("critic", "indeed"),
        ("desk", "let me see"),
    ]


def test_the_same_words_said_twice_stay_twice() -> None:
    assert said(HumanMessage("yes"), AIMessage("sure?"), HumanMessage("yes")) == (
        "yes",
        [("user", "yes"), ("assistant", "sure?")],
    )


@pytest.mark.parametrize("task", ["count", {"goal": "count"}, Task(goal="count")])
def test_a_task_beside_messages_is_the_goal(task: Any) -> None:
    assert said(HumanMessage("hello"), task=task) == (task, [("user", "hello")])


@pytest.mark.parametrize("task", ["hello", {"goal": "hello"}, Task(goal="hello")])
def test_a_message_that_says_the_task_is_no_background_of_it(task: Any) -> None:
    assert said(AIMessage("welcome"), HumanMessage("hello"), task=task) == (task, [("assistant", "welcome")])


@pytest.mark.parametrize("task", [None, "", " "])
def test_a_task_that_is_empty_leaves_the_goal_to_the_messages(task: Any) -> None:
    assert said(HumanMessage("hello"), task=task) == ("hello", [])


def test_an_empty_message_beside_a_task_is_nothing() -> None:
    assert said(HumanMessage(""), task="count") == ("count", [])


def test_what_is_no_text_is_named() -> None:
    mixed = HumanMessage(["What is", {"type": "text", "text": "this?"}, IMAGE, IMAGE])

    assert said(mixed) == ({"goal": "What is\nthis?", "attachments": [IMAGE, IMAGE]}, [])
    assert said(mixed, HumanMessage("well?")) == ("well?", [("user", "What is\nthis?\n(not passed on: image (2))")])


@pytest.mark.parametrize(
    ("block", "name", "attached"),
    [
        (IMAGE, "image", IMAGE),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            "image",
            {"type": "image", "url": "https://example.com/a.png"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            "audio",
            {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"},
        ),
        ({"type": "hologram", "data": "…"}, "hologram", None),
        ({"type": "image", "base64": "%", "mime_type": "image/png"}, "image", None),
    ],
)
def test_a_message_without_text_is_a_goal_by_what_it_holds(block: dict[str, Any], name: str, attached: Any) -> None:
    goal = f"(a message without text: {name} (1))"

    assert said(HumanMessage([block])) == ({"goal": goal, "attachments": [attached]} if attached else goal, [])
    assert said(HumanMessage([block]), HumanMessage("well?")) == ("well?", [("user", f"(not passed on: {name} (1))")])


def test_a_text_file_is_text() -> None:
    assert said(HumanMessage([{"type": "text-plain", "text": "a,b", "mime_type": "text/csv"}])) == ("a,b", [])


def test_blocks_of_a_model_are_one_text_without_its_reasoning_and_calls() -> None:
    blocks: list[Any] = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "so."},
        {"type": "tool_call", "name": "find", "args": {}, "id": "1"},
    ]
    assert said(AIMessage(blocks), HumanMessage("why?")) == ("why?", [("assistant", "It is so.")])


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([AIMessage("a"), ToolMessage("b", tool_call_id="1")], "the 2 given are from assistant, tool"),
        ([HumanMessage("\n")], "the last message of a human is empty"),
        ([HumanMessage([])], "the last message of a human is empty"),
    ],
)
def test_messages_without_a_goal_are_bad_input(messages: list[Any], match: str) -> None:
    with pytest.raises(BadInput, match=match):
        said(*messages)


class TestTheNextRunOfAThread:
    KNOWN = (HumanMessage("first", id="1"), AIMessage("answer", id="2"))

    def test_asks_by_its_new_message(self) -> None:
        goal, background = said(*self.KNOWN, HumanMessage("next"), seen=["1", "2"])

        assert goal == "next"
        assert background == [("user", "first"), ("assistant", "answer")]

    def test_asks_by_its_task_alone(self) -> None:
        assert said(*self.KNOWN, task="count", seen=["1", "2"]) == ("count", [])
        assert said(*self.KNOWN[:1], task="count", seen=["1", "2"]) == ("count", []), "an answer was removed"

    def test_asks_by_its_task_beside_a_new_message(self) -> None:
        goal, background = said(*self.KNOWN, HumanMessage("first"), task="count", seen=["1", "2"])

        assert goal == "count"
        assert background == [("user", "first"), ("assistant", "answer"), ("user", "first")]

    def test_needs_a_new_message_of_a_human(self) -> None:
        with pytest.raises(BadInput, match="the 1 given are from assistant"):
            said(*self.KNOWN, AIMessage("more"), seen=["1", "2"])

    def test_answers_the_last_question_again_where_its_answer_was_removed(self) -> None:
        assert said(*self.KNOWN, HumanMessage("next", id="3"), seen=["1", "2", "3", "4"]) == (
            "next",
            [("user", "first"), ("assistant", "answer")],
        )

    def test_needs_something_new_after_an_answer(self) -> None:
        with pytest.raises(BadInput, match="no message is newer than the last answer"):
            said(*self.KNOWN, seen=["1", "2"])

    def test_is_told_what_this_one_knows(self) -> None:
        assert run_input({"messages": list(self.KNOWN), "task": "x"}).seen == ["1", "2"]
        assert run_input({"task": "x"}).seen == []
        update = final_update({"seen": ["1"]}, Outcome(status="completed", value="x"), POSITION)
        assert update["seen"] == ["1", "outcome-r"]


def message_of(outcome: Outcome, position: DelegationScope = POSITION) -> AIMessage:
    return final_update({}, outcome, position)["messages"][0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("It is so.", "It is so."),
        ("", ""),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        ([], "[]"),
        (0, "0"),
        (False, "false"),
        (None, "There is nothing to report (completed)."),
    ],
)
def test_the_text_of_an_outcome_is_its_value(value: Any, text: str) -> None:
    assert message_of(Outcome(status="completed", value=value)).text == text


@pytest.mark.parametrize("status", ["failed", "refused", "escalated"])
@pytest.mark.parametrize("value", [None, "do not tell"])
def test_an_outcome_without_an_answer_is_a_sentence(status: Any, value: Any) -> None:
    gap = Gap(subtask="a", reason="the archive is closed")
    text = message_of(Outcome(status=status, value=value, gaps=(gap,), stopped_by="Budget")).text

    assert text == f"There is no answer ({status}, stopped by Budget): missing: a: the archive is closed."


def test_all_but_the_value_of_an_outcome_is_kept_with_its_message() -> None:
    outcome = Outcome(status="degraded", value="half", gaps=(Gap(subtask="a", reason="late"),), confidence=0.5)
    message = message_of(outcome)

    kept = message.response_metadata["outcome"]
    assert Outcome.model_validate({**kept, "value": message.text}) == outcome
    assert message.text == "half"
    for stored in (JsonPlusSerializer(), Codec()):
        data: Any = stored.dumps_typed(message)
        assert stored.loads_typed(data) == message


@pytest.mark.parametrize(("team", "name"), [("desk", "desk"), ("my desk/<a>", "my_desk_a_")])
def test_the_sender_is_the_team_by_a_name_that_providers_take(team: str, name: str) -> None:
    message = message_of(Outcome(status="completed"), POSITION.model_copy(update={"path": (team,)}))

    assert message.name == name


def test_a_nested_team_tells_its_own_name_and_id() -> None:
    nested = POSITION.model_copy(update={"account": "r/work/agent:s#1/my%20team-1234abcd"})
    message = message_of(Outcome(status="completed"), nested)

    assert message.name == "my_team"
    assert message.id == "outcome-r/work/agent:s#1/my%20team-1234abcd"
