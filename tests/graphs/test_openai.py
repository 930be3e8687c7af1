"""The real OpenAI client, against a server on this machine that misbehaves: no fault leaves the graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.agents.emit_event import emit_event_tool
from guardgraph.graphs import Subscription, pipeline, reactive, supervisor
from guardgraph.guards import Budget
from guardgraph.state import Request, events_of
from tests import loopback
from tests.graphs.teams import WAYS, plan_of, team, worker

FAULTS = {
    "429": (loopback.too_many_requests, "rate limit reached"),
    "500": (loopback.server_error, "the server is ill"),
    "cut": (loopback.cut_connection, "Connection error"),
}


def client(server: loopback.OpenAIServer, **facts: Any) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", max_retries=0, **facts)  # type: ignore[arg-type]


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Iterator[tuple[loopback.OpenAIServer, str]]:
    make, name = FAULTS[request.param]
    with loopback.OpenAIServer(lambda _: make()) as server:
        yield server, name


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_whose_server_fails_is_a_gap(way: str, fault: tuple[loopback.OpenAIServer, str]) -> None:
    server, name = fault
    ill = Agent("ill", model=client(server), skills={"ill"}, attempts=2)
    graph = team(plan_of("a", skill="ill"), plan_of("b"), workers=[ill, worker()], guards=[Budget(tokens=50_000)])

    outcome = WAYS[way](graph.compile(), "the task", None)

    assert outcome.status in ("degraded", "failed")
    assert name in outcome.gaps[0].reason
    assert len(server.requests) >= 2, "it tries again"


@pytest.mark.parametrize("way", WAYS)
def test_a_planner_whose_server_fails_fails_the_run(way: str, fault: tuple[loopback.OpenAIServer, str]) -> None:
    server, name = fault
    graph = supervisor(planner=Agent("planner", model=client(server)), workers=[worker()])

    outcome = WAYS[way](graph.compile(), "the task", None)

    assert outcome.status == "failed"
    assert outcome.gaps[0].subtask == "plan"
    assert name in outcome.gaps[0].reason


@tool
def search(word: str) -> str:
    """Search for a word."""
    return f"found {word}"


@pytest.mark.parametrize("way", WAYS)
def test_a_malformed_tool_call_goes_back_to_the_model(way: str) -> None:
    with loopback.OpenAIServer([loopback.malformed_tool_call("search"), loopback.text("said")]) as server:
        agent = Agent("worker", model=client(server), tools=[search])
        outcome = WAYS[way](team(plan_of("a"), workers=[agent]).compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("completed", ["said"])
    assert "search" in json.dumps(server.requests[1].body["messages"]), "the model hears what was wrong"


class Prices(BaseModel):
    """Free keys, which OpenAI takes in no strict schema."""

    by_vendor: dict[str, float]


def test_an_output_with_free_keys_is_asked_for_without_a_strict_schema() -> None:
    with loopback.OpenAIServer([loopback.text('{"by_vendor": {"Northwind": 2.0}}')]) as server:
        worker = Agent("worker", model=client(server), output=Prices)
        outcome = WAYS["sync"](pipeline([worker]).compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("completed", {"by_vendor": {"Northwind": 2.0}})
    assert not server.requests[0].body["response_format"]["json_schema"].get("strict")


@pytest.mark.parametrize("way", WAYS)
def test_a_planner_and_a_worker_of_the_real_client_complete_a_run(way: str) -> None:
    def answer(body: dict[str, Any]) -> loopback.Response:
        if not any("Plan" in json.dumps(body.get(key) or "") for key in ("response_format", "tools")):
            return loopback.text("said", input_tokens=80, output_tokens=20)
        planned = "Accepted results" in json.dumps(body["messages"])
        return loopback.text(json.dumps({"subtasks": [] if planned else [{"id": "a", "goal": "do a"}]}))

    with loopback.OpenAIServer(answer) as server:
        graph = supervisor(
            planner=Agent("planner", model=client(server)),
            workers=[Agent("worker", model=client(server))],
            guards=[Budget(usd="1.00", tokens=50_000)],
        )
        outcome = WAYS[way](graph.compile(), "the task", None)

    assert outcome.status == "completed", outcome.gaps
    assert outcome.value == [{"subtask": "a", "agent": "worker", "value": "said"}]
    assert outcome.usage.tokens == 80 + 20 + 2 * (11 + 7)
    assert outcome.usage.usd


@pytest.mark.parametrize("own", [False, True], ids=["model", "create_agent"])
def test_a_model_emits_events_by_its_tool(own: bool) -> None:
    def answer(body: dict[str, Any]) -> loopback.Response:
        tools = [message for message in body["messages"] if message["role"] == "tool"]
        if not tools:  # a type that is not declared: the tool refuses it
            return loopback.tool_call("emit_event", {"type": "order.cancelled", "data": 1})
        if len(tools) == 1:
            return loopback.tool_call("emit_event", {"type": "order.placed", "data": {"item": "lamp"}, "subject": "7"})
        return loopback.text("the order is placed")

    got: list[Any] = []

    def bill(request: Request) -> str:
        assert request.event is not None
        got.append((request.event.source, request.event.data, request.event.subject))
        return "billed"

    with loopback.OpenAIServer(answer) as server:
        sales = Agent("sales", model=client(server))
        if own:
            sales = Agent("sales", run=create_agent(client(server), [emit_event_tool(["order.placed"])]))
        team = [Subscription(sales, ["task"]), Subscription(Agent("billing", run=bill), ["order.placed"])]
        graph = reactive(team, emits={"sales": ["order.placed"]})
        state = [*graph.compile().stream({"task": "sell a lamp"}, stream_mode="values")][-1]

    assert state["outcome"].status == "completed", state["outcome"]
    assert got == [("sales", {"item": "lamp"}, "7")]
    assert [event.type for event in events_of(state)] == ["task", "order.placed"]
