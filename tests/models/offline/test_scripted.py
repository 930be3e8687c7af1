from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call
from pydantic import BaseModel

from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadInput


class Answer(BaseModel):
    value: str
    score: int = 0


def test_it_gives_its_replies_in_order() -> None:
    model = ScriptedModel(replies=["one", AIMessage("two")])

    assert [model.invoke("go").text, model.invoke("go").text] == ["one", "two"]
    assert model.calls == 2


async def test_it_gives_the_same_when_awaited() -> None:
    model = ScriptedModel(replies=["one", "two"])

    assert [(await model.ainvoke("go")).text, model.invoke("go").text] == ["one", "two"]


def test_a_script_that_has_run_out_is_an_error_that_counts() -> None:
    model = ScriptedModel(replies=["one"])
    model.invoke("go")

    with pytest.raises(BadInput, match=r"the script of 'scripted' has 1 replies and this is call 2; give it more"):
        model.invoke("go")


def test_an_exception_is_raised_and_the_next_reply_still_comes() -> None:
    model = ScriptedModel(replies=[TimeoutError("too slow"), "there"])

    with pytest.raises(TimeoutError, match="too slow"):
        model.invoke("go")
    assert model.invoke("go").text == "there"


def test_a_function_sees_the_messages() -> None:
    def echo(messages: list[BaseMessage]) -> str:
        return f"heard {messages[-1].text}"

    model = ScriptedModel(replies=[echo, "scripted"])

    assert model.invoke("hello").text == "heard hello"
    assert model.invoke("hello").text == "scripted"


def test_a_single_function_answers_every_call() -> None:
    model = ScriptedModel(replies=lambda messages: str(len(messages)))

    assert [model.invoke("go").text for _ in range(5)] == ["1"] * 5


def test_a_function_may_return_an_exception_to_raise() -> None:
    model = ScriptedModel(replies=lambda messages: ConnectionError("gone"))

    with pytest.raises(ConnectionError, match="gone"):
        model.invoke("go")


def test_every_reply_is_given_once_to_many_threads() -> None:
    model = ScriptedModel(replies=[str(number) for number in range(200)])

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda _: model.invoke("go").text, range(200)))

    assert sorted(texts, key=int) == [str(number) for number in range(200)]


def test_usage_is_counted() -> None:
    usage = ScriptedModel(replies=["a" * 40]).invoke("x" * 400).usage_metadata

    assert usage is not None
    assert usage["output_tokens"] == 10
    assert 100 <= usage["input_tokens"] <= 110
    assert usage["total_tokens"] == usage["input_tokens"] + 10


def test_usage_is_that_of_the_script() -> None:
    model = ScriptedModel(replies=["short"], input_tokens=1_000, output_tokens=200)

    assert model.invoke("go").usage_metadata == {"input_tokens": 1_000, "output_tokens": 200, "total_tokens": 1_200}


def test_a_message_keeps_its_own_usage() -> None:
    usage = UsageMetadata(input_tokens=3, output_tokens=4, total_tokens=7)

    assert ScriptedModel(replies=[AIMessage("hi", usage_metadata=usage)]).invoke("go").usage_metadata == usage


@pytest.mark.parametrize(
    ("limit", "text", "finish"), [(2, "eightcha", "stop"), (1, "eigh", "length"), (3, "eightcha", "stop")]
)
def test_a_text_is_cut_at_max_tokens_and_marked(limit: int, text: str, finish: str) -> None:
    message = ScriptedModel(replies=["eightcha"]).bind(max_tokens=limit).invoke("go")

    assert message.text == text
    assert message.response_metadata["finish_reason"] == finish
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == min(limit, 2)


def test_reported_output_never_exceeds_max_tokens() -> None:
    message = ScriptedModel(replies=["word " * 100], output_tokens=500, max_tokens=50).invoke("go")

    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 50
    assert len(message.text) == 50


def test_a_tool_call_that_is_cut_is_an_invalid_one() -> None:
    call = tool_call(name="search", args={"query": "x" * 100}, id="1")

    message = ScriptedModel(replies=[AIMessage("", tool_calls=[call])], max_tokens=5).invoke("go")

    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["error"] == "the answer was cut at `max_tokens`"
    assert len(message.invalid_tool_calls[0]["args"] or "") < 30


def test_structured_output_comes_from_scripted_json() -> None:
    model = ScriptedModel(replies=[json.dumps({"value": "yes", "score": 2})])

    assert model.with_structured_output(Answer).invoke("go") == Answer(value="yes", score=2)


async def test_structured_output_comes_from_scripted_json_when_awaited() -> None:
    model = ScriptedModel(replies=['{"value": "yes"}'])

    assert await model.with_structured_output(Answer).ainvoke("go") == Answer(value="yes")


@pytest.mark.parametrize("reply", ["no JSON at all", "[1, 2]"])
def test_a_text_that_is_no_object_stays_a_text(reply: str) -> None:
    message = ScriptedModel(replies=[reply]).bind_tools([Answer], tool_choice="any").invoke("go")

    assert (message.text, message.tool_calls) == (reply, [])


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_json_stays_a_text_where_no_tool_call_is_demanded(choice: str | None) -> None:
    message = ScriptedModel(replies=['{"value": "yes"}']).bind_tools([Answer], tool_choice=choice).invoke("go")

    assert message.text == '{"value": "yes"}'


@pytest.mark.parametrize(
    "choice", ["search", {"type": "function", "function": {"name": "search"}}, {"type": "tool", "name": "search"}]
)
def test_a_tool_is_chosen_by_name(choice: object) -> None:
    def search(query: str) -> str:
        """Search."""
        return query

    model = ScriptedModel(replies=['{"query": "x"}']).bind_tools([search, Answer], tool_choice=choice)

    assert [call["name"] for call in model.invoke("go").tool_calls] == ["search"]


def test_a_stream_brings_words_then_usage() -> None:
    chunks = list(ScriptedModel(replies=["hello big world"]).stream("go"))

    assert [chunk.text for chunk in chunks if chunk.text] == ["hello ", "big ", "world"]
    whole = chunks[0] + chunks[1] + chunks[2] + chunks[3]
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 4
    assert whole.response_metadata["finish_reason"] == "stop"


async def test_an_awaited_stream_brings_tool_calls() -> None:
    call = tool_call(name="search", args={"query": "x"}, id="1")
    chunks = [chunk async for chunk in ScriptedModel(replies=[AIMessage("look", tool_calls=[call])]).astream("go")]

    assert chunks[-1].tool_calls == [call]
    assert "".join(chunk.text for chunk in chunks) == "look"


def test_a_delay_is_waited_for() -> None:
    start = time.perf_counter()
    ScriptedModel(replies=["late"], delay=0.05).invoke("go")

    assert time.perf_counter() - start >= 0.05


async def test_delays_of_awaited_calls_pass_at_the_same_time() -> None:
    model = ScriptedModel(replies=["late"] * 20, delay=0.1)

    start = time.perf_counter()
    await asyncio.gather(*(model.ainvoke("go") for _ in range(20)))

    assert time.perf_counter() - start < 1


def test_answers_are_labelled_as_offline() -> None:
    message = ScriptedModel(replies=["hi"]).invoke([HumanMessage("go")])

    assert message.response_metadata["provider"] == "offline"
    assert message.response_metadata["model_name"] == "scripted"
