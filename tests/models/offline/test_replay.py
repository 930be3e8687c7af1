from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import LLMResult
from pydantic import BaseModel

from guardgraph.models.offline import ReplayModel, ScriptedModel, record, request_digest
from guardgraph.models.resolve import resolve_model
from guardgraph.state import BadInput


class Answer(BaseModel):
    value: str


class Ends(BaseCallbackHandler):
    def __init__(self) -> None:
        self.count = 0

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.count += 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


@pytest.mark.parametrize("answer", ["Zürich", "a\u2028b\u2029c\x85d\x1ce\r\nf"])
def test_a_recorded_answer_is_replayed(file: Path, answer: str) -> None:
    recorded = record(ScriptedModel(replies=[answer], output_tokens=9), file).invoke("where?")

    again = resolve_model(f"offline:replay:{file}").invoke("where?")

    assert again.text == recorded.text == answer
    assert again.usage_metadata == recorded.usage_metadata
    assert again.response_metadata["provider"] == "offline"


async def test_it_is_recorded_and_replayed_when_awaited(file: Path) -> None:
    await record(ScriptedModel(replies=["here"]), file).ainvoke("where?")

    assert (await ReplayModel(file=file).ainvoke("where?")).text == "here"
    assert [chunk.text async for chunk in ReplayModel(file=file).astream("where?") if chunk.text] == ["here"]


def test_a_miss_names_the_digest_and_the_file(file: Path) -> None:
    record(ScriptedModel(replies=["here"]), file).invoke("where?")

    digest = request_digest([HumanMessage("when?")])
    with pytest.raises(BadInput, match=rf"no answer is recorded for {digest} in '.*answers.jsonl'"):
        ReplayModel(file=file).invoke("when?")


def test_structured_output_is_recorded_and_replayed(file: Path) -> None:
    recording = record(ScriptedModel(replies=['{"value": "yes"}', "plain"]), file)
    recording.with_structured_output(Answer).invoke("really?")
    recording.invoke("really?")

    replay = ReplayModel(file=file)

    assert replay.with_structured_output(Answer).invoke("really?") == Answer(value="yes")
    assert replay.invoke("really?").text == "plain"


def test_tools_are_bound_once_to_a_recording(file: Path) -> None:
    recording = record(ScriptedModel(replies=[]), file).bind_tools([Answer])

    with pytest.raises(BadInput, match="tools are bound already"):
        recording.bind_tools([Answer])  # pyright: ignore[reportAttributeAccessIssue]


def test_a_recorded_call_is_reported_once(file: Path) -> None:
    ends = Ends()

    record(ScriptedModel(replies=["here"]), file).invoke("where?", {"callbacks": [ends]})

    assert ends.count == 1


def test_a_later_answer_to_the_same_question_counts(file: Path) -> None:
    recording = record(ScriptedModel(replies=["first", "second"]), file)
    recording.invoke("where?")
    recording.invoke("where?")

    assert ReplayModel(file=file).invoke("where?").text == "second"


def test_settings_and_random_ids_do_not_change_a_digest() -> None:
    assert request_digest([HumanMessage("x", id="1")]) == request_digest([HumanMessage("x", id="2")])


@pytest.mark.parametrize("other", [HumanMessage("y"), AIMessage("x"), HumanMessage("x", name="somebody")])
def test_another_question_has_another_digest(other: HumanMessage | AIMessage) -> None:
    assert request_digest([HumanMessage("x")]) != request_digest([other])
    assert request_digest([HumanMessage("x")]) != request_digest([HumanMessage("x")], [{"type": "function"}])


def test_a_missing_file_is_a_clear_error(file: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read the recorded answers in '.*answers.jsonl': .*No such file"):
        ReplayModel(file=file).invoke("where?")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 1 of .* is not a recorded answer"),
        ('{"digest": "x"}', "line 1 of .* is not a recorded answer"),
        ('{"digest": "x", "message": {"type": "human", "data": {"content": "hi"}}}', "of type 'human', not an answer"),
    ],
)
def test_a_damaged_file_is_a_clear_error(file: Path, line: str, message: str) -> None:
    file.write_text(line + "\n")

    with pytest.raises(BadInput, match=message):
        ReplayModel(file=file).invoke("where?")
