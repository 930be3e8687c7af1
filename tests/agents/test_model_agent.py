from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from typing import Annotated, Any, Literal

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.tool import tool_call
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from guardgraph.agents import Agent
from guardgraph.agents.adapters import adapt
from guardgraph.agents.prompt import render
from guardgraph.agents.results import InvalidAnswer, last_text
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Evidence, MissingExtra, Reply, Request, Task

REQUEST = Request(task=Task(goal="compare", id="t"))
BROKEN = AIMessage("", invalid_tool_calls=[{"name": "find", "args": "{" * 300, "id": "1", "error": None}])


class Report(BaseModel):
    title: str


class Answer_Sheet(BaseModel):
    title: str


class WordsOnly(GenericFakeChatModel):
    """A model without structured output, which remembers what it heard."""

    heard: list[list[BaseMessage]] = Field(default_factory=list)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        self.heard.append(messages)
        return super()._generate(messages, *args, **kwargs)


@tool
def find(what: str) -> str:
    """Find it."""
    return f"{what} is 42"


def ask(agent: Agent, way: str, *, evidence: bool = False) -> Any:
    """Return what a model agent answers, in one of both ways."""
    body = adapt(agent, evidence=evidence)
    assert body.call is not None
    acall = body.acall
    assert acall is not None
    if way == "sync":
        return body.call(REQUEST, {})

    async def answer() -> Any:
        return await acall(REQUEST, {})

    return asyncio.run(answer())


def scripted(*replies: Any, **facts: Any) -> Agent:
    return Agent("a", model=ScriptedModel(replies=list(replies)), **facts)


both_ways = pytest.mark.parametrize("way", ["sync", "async"])


@both_ways
@pytest.mark.parametrize("output", [None, str])
def test_without_a_declared_output_the_answer_is_text(way: str, output: Any) -> None:
    assert ask(scripted("said", output=output), way) == "said"


@both_ways
@pytest.mark.parametrize("instructions", ["", "Be brief."])
def test_a_model_hears_its_instructions_and_the_rendered_request(way: str, instructions: str) -> None:
    heard: list[list[BaseMessage]] = []
    model = ScriptedModel(replies=lambda messages: heard.append(messages) or "said")

    ask(Agent("a", model=model, instructions=instructions), way)

    system = [SystemMessage(instructions)] if instructions else []
    assert [(type(m), m.content) for m in heard[0]] == [
        (type(m), m.content) for m in [*system, HumanMessage(render(REQUEST))]
    ]


@both_ways
@pytest.mark.parametrize(
    ("output", "message", "value"),
    [
        (Report, '{"title": "t"}', Report(title="t")),
        (Answer_Sheet, '{"title": "t"}', Answer_Sheet(title="t")),
        (int, '{"value": 7}', 7),
        (list[int], '{"value": [7]}', [7]),
        (int | None, '{"value": null}', None),
        (Literal["yes", "no"], '{"value": "yes"}', "yes"),
        (Annotated[int, Field(gt=0)], '{"value": 1}', 1),
        (Annotated[list[str], ["no hash"]], '{"value": ["a"]}', ["a"]),
        (dict[str, Report], '{"value": {"a": {"title": "t"}}}', {"a": Report(title="t")}),
    ],
)
def test_a_declared_output_is_what_the_model_fills(way: str, output: Any, message: str, value: Any) -> None:
    answer = ask(scripted(message, output=output), way)

    assert (answer.value if isinstance(answer, Reply) else answer) == value


@both_ways
@pytest.mark.parametrize(
    ("output", "message", "value"),
    [
        (None, '"42"', "42"),
        (int, "42", 42),
        (Report, '{"title": "t"}', Report(title="t")),
        (Annotated[list[str], ["no hash"]], '["a"]', ["a"]),
    ],
)
def test_with_evidence_it_answers_with_its_quotes(way: str, output: Any, message: str, value: Any) -> None:
    quotes = '[{"source": "a.txt", "quote": "it is 42", "locator": "7"}]'

    answer = ask(
        scripted(f'{{"value": {message}, "evidence": {quotes}, "confidence": 0.5}}', output=output), way, evidence=True
    )

    quote = Evidence(source="a.txt", quote="it is 42", locator="7")
    assert answer == Reply(value=value, evidence=(quote,), confidence=0.5)


@both_ways
@pytest.mark.parametrize(
    ("message", "evidence"),
    [
        ('{"titel": "t"}', False),
        ('{"title": 7}', False),
        ('{"value": {"title": "t"}}', True),
        ('{"value": {"title": "t"}, "evidence": [], "confidence": 2}', True),
        ('{"value": {"title": "t"}, "evidence": [{"source": "", "quote": ""}]}', True),
    ],
)
def test_an_answer_that_does_not_fit_is_invalid(way: str, message: str, evidence: bool) -> None:
    with pytest.raises(InvalidAnswer, match="the model's answer cannot be read"):
        ask(scripted(message, output=Report), way, evidence=evidence)


@both_ways
def test_a_model_without_structured_output_gets_the_schema_in_its_prompt(way: str) -> None:
    model = WordsOnly(messages=iter(['```json\n{"title": "t"}\n```']))

    assert ask(Agent("a", model=model, instructions="Be brief.", output=Report), way) == Report(title="t")
    shown_text = model.heard[0][0].text
    assert shown_text.startswith("Be brief.\n\nAnswer with JSON alone")
    assert "'title'" in shown_text


@both_ways
@pytest.mark.parametrize("message", ["no JSON at all", '{"titel": "t"}'])
def test_words_that_do_not_fit_the_schema_are_invalid(way: str, message: str) -> None:
    with pytest.raises(InvalidAnswer, match="the model's answer cannot be read"):
        ask(Agent("a", model=WordsOnly(messages=iter([message])), output=Report), way)


@both_ways
def test_what_the_model_raises_comes_through(way: str) -> None:
    with pytest.raises(ConnectionError, match="cut"):
        ask(scripted(ConnectionError("cut"), output=Report), way)


def calls_find() -> AIMessage:
    return AIMessage("", tool_calls=[tool_call(name="find", args={"what": "it"}, id="1")])


@both_ways
def test_with_tools_it_works_until_it_has_an_answer(way: str) -> None:
    def last(messages: list[BaseMessage]) -> str:
        return f"so {messages[-1].text}"

    assert ask(scripted(calls_find(), last, tools=[find], instructions="Be brief."), way) == "so it is 42"


@both_ways
@pytest.mark.parametrize(("evidence", "type_"), [(False, Report), (True, Reply)])
def test_with_tools_the_answer_fits_the_declared_output_too(way: str, evidence: bool, type_: type) -> None:
    message = '{"title": "t"}' if not evidence else '{"value": {"title": "t"}, "evidence": []}'

    answer = ask(scripted(calls_find(), message, tools=[find], output=Report), way, evidence=evidence)

    assert isinstance(answer, type_)
    assert (answer.value if isinstance(answer, Reply) else answer) == Report(title="t")


@both_ways
def test_with_tools_an_empty_quote_is_invalid(way: str) -> None:
    message = '{"value": "v", "evidence": [{"source": "a", "quote": ""}]}'

    with pytest.raises(InvalidAnswer, match="the model's answer cannot be read"):
        ask(scripted(calls_find(), message, tools=[find]), way, evidence=True)


def test_tools_need_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.agents", None)

    with pytest.raises(
        MissingExtra, match=r"agent 'a' has tools and needs 'langchain'; install .*guardgraph\[agents\]"
    ):
        adapt(scripted(tools=[find]), evidence=False)


def test_a_model_is_made_when_the_graph_is_built_and_not_at_each_call() -> None:
    agent = scripted("one", "two")
    body = adapt(agent, evidence=False)
    assert body.call is not None

    assert [body.call(REQUEST, {}), body.call(REQUEST, {})] == ["one", "two"]


@both_ways
@pytest.mark.parametrize("bound", [None, 2])
def test_what_a_call_may_write_is_bound_to_what_the_agent_declares(way: str, bound: int | None) -> None:
    limits: list[Any] = []

    class Watched(ScriptedModel):
        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            limits.append(kwargs.get("max_tokens"))
            return super()._generate(messages, stop, run_manager, **kwargs)

        async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            limits.append(kwargs.get("max_tokens"))
            return await super()._agenerate(messages, stop, run_manager, **kwargs)

    ask(Agent("a", model=Watched(replies=["one two three"]), max_tokens=bound), way)

    assert limits == [bound]


@pytest.mark.parametrize("output", [object(), "Report"])
def test_an_output_that_is_no_type_is_refused_when_declared(output: Any) -> None:
    with pytest.raises(BadGraph, match="`output` must be a type"):
        scripted(output=output)


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([HumanMessage("q"), AIMessage("said")], "said"),
        ([AIMessage([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])], "one two"),
        ([AIMessage("said anyway", invalid_tool_calls=BROKEN.invalid_tool_calls)], "said anyway"),
        ([BROKEN, AIMessage("mended")], "mended"),
    ],
)
def test_the_last_text_is_that_of_the_last_message(messages: list[BaseMessage], text: str) -> None:
    assert last_text(messages) == text


def test_a_tool_call_that_cannot_be_read_is_shortened() -> None:
    with pytest.raises(InvalidAnswer, match=r"tool call cannot be read: find\(\{{200}\)$"):
        last_text([BROKEN])


def test_a_type_that_is_made_at_run_time_is_not_kept_when_its_agent_is_gone() -> None:
    made = type("Made", (BaseModel,), {"__annotations__": {"title": str}})
    agent = scripted('{"value": [{"title": "t"}]}', output=list[made])
    ask(agent, "sync")
    seen = weakref.ref(made)

    del made, agent
    gc.collect()

    assert seen() is None
