"""Peers that are models and LangGraph's own agents: tools for messages and handoffs, against the real OpenAI client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import InjectedState
from langgraph.types import Command
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import swarm
from guardgraph.state import Message, Outcome, Reply, Request
from tests import loopback
from tests.graphs.teams import WAYS


def client(server: loopback.OpenAIServer) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-5-mini", base_url=server.url, api_key="none", max_retries=0)  # type: ignore[arg-type]


@pytest.fixture
def served() -> Iterator[Any]:
    """Give a function that starts a server with a script."""
    servers = list[loopback.OpenAIServer]()

    def start(*script: loopback.Script) -> loopback.OpenAIServer:
        servers.append(loopback.OpenAIServer(list(script)).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def texts(server: loopback.OpenAIServer, number: int) -> str:
    return json.dumps(server.requests[number].body["messages"])


@pytest.mark.parametrize("way", WAYS)
def test_a_model_asks_a_peer_and_answers(way: str, served: Any) -> None:
    asks = {"recipients": ["hotel"], "content": "which city?", "performative": "ask"}
    flights = served(loopback.tool_call("send_message", asks), loopback.text("I wait"), loopback.text("fly to Rome"))
    hotel = served(loopback.text("Rome"))
    graph = swarm([Agent("flights", model=client(flights)), Agent("hotel", model=client(hotel), skills={"hotels"})])

    outcome: Outcome = WAYS[way](graph.compile(), "plan a trip", None)

    assert (outcome.status, outcome.value) == ("completed", "fly to Rome")
    assert "which city?" in texts(hotel, 0)
    assert "Rome" in texts(flights, 2)
    assert "I wait" in texts(flights, 2), "a model is given its own exchanges again"
    described = json.dumps(flights.requests[0].body["tools"])
    assert "hotel (hotels)" in described
    assert "flights" not in described


@pytest.mark.parametrize("way", WAYS)
def test_a_model_hands_over(way: str, served: Any) -> None:
    over = {"to": "writer", "content": "all facts are there"}
    first = served(loopback.tool_call("hand_off", over))
    writer = served(loopback.text("the report"))
    graph = swarm([Agent("first", model=client(first)), Agent("writer", model=client(writer))])

    outcome: Outcome = WAYS[way](graph.compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("completed", "the report")
    assert "all facts are there" in texts(writer, 0)
    assert len(first.requests) == 1


class City(BaseModel):
    name: str


def test_a_model_with_a_schema_may_send_messages_before_it_answers(served: Any) -> None:
    over = served(loopback.tool_call("hand_off", {"to": "b", "content": "you"}))
    final = served(loopback.text('{"name": "Rome"}'))
    both = [Agent(name, model=client(server), output=City) for name, server in (("a", over), ("b", final))]

    outcome = swarm(both).compile().invoke({"task": "where?"})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", {"name": "Rome"})


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("send_message", {"recipients": ["zed"], "content": "?"}, "'zed', which is none of its peers: 'b'"),
        ("send_message", {"recipients": [], "content": "?"}, "at least 1 item"),
        ("send_message", {"recipients": ["a"], "content": "?"}, "sends a message to itself"),
        ("send_message", {"recipients": ["b"], "content": "?", "performative": "accept"}, "in_reply_to"),
        ("hand_off", {"to": "zed", "content": "?"}, "there is no peer 'zed', only b"),
    ],
)
def test_what_does_not_fit_goes_back_to_the_model(name: str, arguments: Any, words: str, served: Any) -> None:
    server = served(loopback.tool_call(name, arguments), loopback.text("then so"))
    graph = swarm([Agent("a", model=client(server)), Agent("b", run=lambda request: "b")])

    outcome = graph.compile().invoke({"task": "the task"})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", "then so")
    assert words in texts(server, 1)


def handoff_tool(to: str) -> BaseTool:
    """Return a handoff tool as `langgraph_swarm.create_handoff_tool` makes it."""

    @tool(f"transfer_to_{to}", description=f"Ask {to} for help")
    def hand_over(
        state: Annotated[Any, InjectedState], tool_call_id: Annotated[str, InjectedToolCallId]
    ) -> Command[Any]:
        done = ToolMessage(f"Successfully transferred to {to}", name=f"transfer_to_{to}", tool_call_id=tool_call_id)
        update = {"messages": [*state["messages"], done], "active_agent": to}
        return Command(goto=to, graph=Command.PARENT, update=update)

    return hand_over


@pytest.mark.parametrize("way", WAYS)
def test_agents_of_langgraphs_swarm_work_unchanged(way: str, served: Any) -> None:
    alice = served(loopback.tool_call("transfer_to_bob", {}))
    bob = served(loopback.text("Ahoy"))
    peers = [
        Agent("alice", run=create_agent(client(alice), [handoff_tool("bob")], name="alice")),
        Agent("bob", run=create_agent(client(bob), [handoff_tool("alice")], name="bob")),
    ]

    outcome: Outcome = WAYS[way](swarm(peers).compile(), "let me talk to bob", None)

    assert (outcome.status, outcome.value) == ("completed", "Ahoy")
    assert "let me talk to bob" in texts(bob, 0)


def test_their_ping_pong_is_ended(served: Any) -> None:
    alice, bob = (served(*[loopback.tool_call(f"transfer_to_{to}", {})] * 50) for to in ("bob", "alice"))
    peers = [
        Agent("alice", run=create_agent(client(alice), [handoff_tool("bob")], name="alice")),
        Agent("bob", run=create_agent(client(bob), [handoff_tool("alice")], name="bob")),
    ]

    outcome = swarm(peers).compile().invoke({"task": "the task"})["outcome"]

    assert (outcome.status, outcome.stopped_by) == ("failed", "Oscillation")
    assert len(alice.requests) + len(bob.requests) == 8


def test_a_model_as_tie_breaker_answers_its_schema(served: Any) -> None:
    def waits(request: Request) -> Reply:
        other = "b" if request.path[-1] == "a" else "a"
        return Reply(messages=(Message(recipients=(other,), performative="ask", content="you first"),))

    decided = json.dumps({"order": [], "proposal": None, "answer": "enough"})
    boss = served(loopback.text(decided))
    peers = [Agent("a", run=waits), Agent("b", run=waits)]
    graph = swarm(peers, tie_breaker=Agent("boss", model=client(boss)))

    outcome = graph.compile().invoke({"task": "the task"})["outcome"]

    assert (outcome.status, outcome.value, outcome.stopped_by) == ("degraded", "enough", "Oscillation")
