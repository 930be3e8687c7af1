from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from pydantic import BaseModel

from guardgraph.models.offline import ExtractiveModel, ReplayModel
from guardgraph.models.resolve import resolve_model
from guardgraph.state import GuardgraphError, MissingExtra, MissingKey, UnknownModel
from tests import loopback
from tests.loopback import OpenAIServer, Response


class Answer(BaseModel):
    value: str


Serve = Callable[[Sequence[Response]], OpenAIServer]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Serve:
    """Start a server that the real client finds by its environment variables."""

    def start(script: Sequence[Response]) -> OpenAIServer:
        server = OpenAIServer(script).__enter__()
        request.addfinalizer(lambda: server.__exit__(None, None, None))
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "test-key")
        return server

    return start


def test_a_model_is_returned_as_it_is() -> None:
    model = ExtractiveModel()

    assert resolve_model(model) is model


def test_offline_models_are_found_by_name(tmp_path: Path) -> None:
    assert isinstance(resolve_model("offline:extractive"), ExtractiveModel)
    (tmp_path / "a:b.jsonl").touch()
    replay = resolve_model(f"offline:replay:{tmp_path}/a:b.jsonl")
    assert isinstance(replay, ReplayModel)
    assert replay.file == tmp_path / "a:b.jsonl"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpt-5", "write it as `provider:model`, such as `openai:gpt-5-mini`"),
        ("", "write it as `provider:model`"),
        (":x", "write it as `provider:model`"),
        ("openai:", "write it as `provider:model`"),
        ("nobody:gpt-5", "LangChain knows no provider 'nobody'"),
        ("offline:scripted", r"pass ScriptedModel\(replies=\[…\]\) of guardgraph.models.offline"),
        ("offline:replay", "name the file of recorded answers: `offline:replay:FILE`"),
        ("offline:replay:", "name the file of recorded answers"),
        ("offline:replay:no/such.jsonl", "file 'no/such.jsonl' does not exist; record answers into it with `record`"),
        ("offline:extractive:x", "there is no such offline model; take `offline:extractive`"),
        ("offline:other", "there is no such offline model"),
    ],
)
def test_a_name_without_a_model_is_an_error_that_names_the_remedy(name: str, message: str) -> None:
    with pytest.raises(UnknownModel, match=message) as caught:
        resolve_model(name)

    assert "\n" not in str(caught.value)


def test_a_missing_key_names_its_variable() -> None:
    with pytest.raises(MissingKey, match="model 'openai:gpt-5' needs a key: set OPENAI_API_KEY") as caught:
        resolve_model("openai:gpt-5")

    assert caught.value.variable == "OPENAI_API_KEY"
    assert "\n" not in str(caught.value)


def test_a_missing_integration_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_anthropic", None)

    with pytest.raises(MissingExtra, match="needs 'langchain-anthropic'; install it with `pip install langchain-anth"):
        resolve_model("anthropic:claude-sonnet-4-5")


def test_a_missing_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)

    with pytest.raises(MissingExtra, match=r"needs 'langchain'; install it with `pip install 'guardgraph\[agents\]'`"):
        resolve_model("openai:gpt-5")


def test_every_error_of_a_name_has_the_common_base() -> None:
    with pytest.raises(GuardgraphError, match="cannot make a model of"):
        resolve_model("gpt-5")


def test_the_real_client_answers_with_its_usage(serve: Serve) -> None:
    server = serve([loopback.text("hello", input_tokens=20, output_tokens=5)])

    message = resolve_model("openai:gpt-4o-mini").invoke("hi")

    assert message.text == "hello"
    assert message.usage_metadata is not None
    assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == (20, 5)
    assert server.requests[0].path == "/v1/chat/completions"
    assert server.requests[0].headers["authorization"] == "Bearer test-key"
    assert server.requests[0].body["messages"] == [{"role": "user", "content": "hi"}]


async def test_the_real_client_answers_when_awaited(serve: Serve) -> None:
    serve([loopback.text("hello")])

    assert (await resolve_model("openai:gpt-4o-mini").ainvoke("hi")).text == "hello"


def test_the_real_client_streams_and_reports_usage(serve: Serve) -> None:
    server = serve([loopback.text("hello big world", output_tokens=3)])

    with get_usage_metadata_callback() as usage:
        chunks = list(resolve_model("openai:gpt-4o-mini").stream("hi", stream_usage=True))

    assert "".join(chunk.text for chunk in chunks) == "hello big world"
    assert len([chunk for chunk in chunks if chunk.text]) == 3
    assert [one["output_tokens"] for one in usage.usage_metadata.values()] == [3]
    assert server.requests[0].body["stream"] is True


async def test_the_real_client_streams_tool_calls_when_awaited(serve: Serve) -> None:
    serve([loopback.tool_call("Answer", {"value": "yes"})])

    model = resolve_model("openai:gpt-4o-mini").bind_tools([Answer])
    chunks = [chunk async for chunk in model.astream("hi")]

    calls: list[Any] = [call for chunk in chunks for call in getattr(chunk, "tool_call_chunks", ())]
    assert [call["name"] for call in calls] == ["Answer"]


def test_the_real_client_gives_structured_output(serve: Serve) -> None:
    serve([loopback.tool_call("Answer", {"value": "yes"})])

    model = resolve_model("openai:gpt-4o-mini").with_structured_output(Answer, method="function_calling")

    assert model.invoke("hi") == Answer(value="yes")


def test_a_malformed_tool_call_is_an_invalid_one(serve: Serve) -> None:
    serve([loopback.malformed_tool_call("Answer"), loopback.malformed_tool_call("Answer")])
    model = resolve_model("openai:gpt-4o-mini")

    message = model.bind_tools([Answer]).invoke("hi")
    assert message.tool_calls == []
    assert [call["name"] for call in message.invalid_tool_calls] == ["Answer"]

    structured = model.with_structured_output(Answer, method="function_calling", include_raw=True)
    assert structured.invoke("hi")["parsed"] is None  # pyright: ignore[reportIndexIssue] - its declared type has no `include_raw` form


@pytest.mark.parametrize(
    "trouble",
    [loopback.too_many_requests(), loopback.server_error(), loopback.cut_connection()],
    ids=["429", "500", "cut"],
)
def test_the_real_client_tries_again_after_trouble(serve: Serve, trouble: Response) -> None:
    server = serve([trouble, loopback.text("hello")])

    assert resolve_model("openai:gpt-4o-mini").invoke("hi").text == "hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("trouble", "error", "message"),
    [
        (loopback.too_many_requests(), openai.RateLimitError, "rate limit reached"),
        (loopback.server_error(), openai.InternalServerError, "the server is ill"),
        (loopback.cut_connection(), openai.APIConnectionError, "Connection error"),
    ],
    ids=["429", "500", "cut"],
)
def test_trouble_that_lasts_is_the_clients_own_error(
    serve: Serve, trouble: Response, error: type[Exception], message: str
) -> None:
    serve([trouble] * 5)

    with pytest.raises(error, match=message):
        resolve_model("openai:gpt-4o-mini").invoke("hi")
