"""A chat model that routes, without any instructions: the real OpenAI client against a scripted server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from guardgraph.agents import Agent
from guardgraph.graphs import router
from tests import loopback
from tests.graphs.teams import WAYS, worker


def desk(url: str, **facts: Any) -> Any:
    model = ChatOpenAI(model="gpt-5-mini", base_url=url, api_key="none", max_retries=0)  # type: ignore[arg-type]
    workers = [worker("billing", skills={"invoices"}), worker("shipping")]
    return router(workers, fallback=worker("general"), model=Agent("model", model=model, **facts)).compile()


def answer(name: str | None) -> Any:
    return loopback.text(json.dumps({"worker": name, "reason": "because", "confidence": 0.8}))


@pytest.mark.parametrize("way", WAYS)
def test_it_is_shown_the_workers_and_a_schema_with_their_names(way: str) -> None:
    with loopback.OpenAIServer([answer("billing")]) as server:
        outcome = WAYS[way](desk(server.url), "Who pays?", None)

    assert (outcome.status, outcome.value) == ("completed", "done: Who pays?")
    (request,) = server.requests
    system, human = (message["content"] for message in request.body["messages"])
    assert "Choose the one worker" in system
    assert "invoices" in human
    schema = request.body["response_format"]["json_schema"]
    assert schema["strict"] is True
    choices = schema["schema"]["properties"]["worker"]["anyOf"]
    assert choices[0]["enum"] == ["billing", "shipping", "general"]
    assert choices[1] == {"type": "null"}


@pytest.mark.parametrize("second", ["billing", "sales"])
def test_a_name_that_is_no_worker_goes_back_once_then_the_fallback_works(second: str) -> None:
    with loopback.OpenAIServer([answer("sales"), answer(second)]) as server:
        state = list(desk(server.url).stream({"task": "Who pays?"}, stream_mode="values"))[-1]

    assert "sales" in server.requests[1].body["messages"][-1]["content"]
    assert state["outcome"].status == "completed"
    assert state["routing"][-1].worker == ("billing" if second == "billing" else "general")
