"""Peers that are models and LangGraph's own agents: tools for messages and handoffs, against the real OpenAI client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
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
from guardgraph.guards import Authority
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


def several_calls(*calls: tuple[str, dict[str, Any]]) -> loopback.Response:
    """Answer with several tool calls in one turn."""
    made = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for number, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": made}
    return loopback.Response(message, finish_reason="tool_calls")


def asking(*recipients: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "send_message", {"recipients": [*recipients], "content": "?", "performative": "ask", **fields}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_only_sends_needs_no_final_text(way: str, served: Any) -> None:
    server = served(several_calls(asking("b")), loopback.text(""), loopback.text("final"))
    graph = swarm([Agent("a", model=client(server)), Agent("b", run=lambda request: "b")], guards=[])

    outcome: Outcome = WAYS[way](graph.compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("completed", "final")


def test_a_model_that_waits_for_a_peer_without_answer_goes_on_alone(served: Any) -> None:
    server = served(several_calls(asking("b")), loopback.text("I wait"), loopback.text("without b"))
    graph = swarm([Agent("a", model=client(server)), Agent("b", run=lambda request: Reply(value=None))])

    outcome = graph.compile().invoke({"task": "the task"})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", "without b")
    assert "no_answer_from" in texts(server, 2)


@pytest.mark.parametrize(
    "amounts", [[{"unit": "usd", "amount": 900}], [{"unit": "usd", "amount": 300}, {"unit": "usd", "amount": 250}]]
)
@pytest.mark.parametrize("way", WAYS)
def test_a_model_commits_itself_within_its_authority(way: str, amounts: Any, served: Any) -> None:
    above = asking("b", performative="propose", commits=amounts)
    within = asking("b", performative="propose", commits=[{"unit": "usd", "amount": 400.1}])
    server = served(several_calls(above), loopback.text("?"), several_calls(within), loopback.text("?"))
    given = list[Any]()

    def accepts(request: Request) -> Reply:
        offer = request.messages[-1]
        given.append(offer.commits)
        return Reply(messages=(Message(recipients=("a",), performative="accept", in_reply_to=offer.id),))

    graph = swarm(
        [Agent("a", model=client(server)), Agent("b", run=accepts)],
        acceptance="unanimous", guards=[Authority({"a": {"usd": 500}})],
    )  # fmt: skip
    outcome: Outcome = WAYS[way](graph.compile(), "the task", None)

    assert outcome.status == "completed"
    assert given == [{"usd": Decimal("400.1")}], "what is above its authority was not sent"
    assert "its authority is 500" in texts(server, 2)


def test_two_handoffs_in_one_turn_go_back_to_the_model(served: Any) -> None:
    both = (("hand_off", {"to": name, "content": "you"}) for name in "bc")
    server = served(several_calls(*both), several_calls(("hand_off", {"to": "c", "content": "you"})))
    graph = swarm([Agent("a", model=client(server)), *(Agent(name, run=lambda request: "done") for name in "bc")])

    state = list(graph.compile().stream({"task": "the task"}, stream_mode="values"))[-1]

    assert state["outcome"].status == "completed"
    assert [message.recipients for message in state["log"]] == [("c",)]
    assert "hands over to several agents at once" in texts(server, 1)


def test_a_second_handoff_as_a_message_is_refused_at_once(served: Any) -> None:
    both = (asking(name, performative="hand_off") for name in "bc")
    server = served(several_calls(*both), loopback.text("over to b"))
    graph = swarm([Agent("a", model=client(server)), *(Agent(name, run=lambda request: "done") for name in "bc")])

    outcome = graph.compile().invoke({"task": "the task"})["outcome"]

    assert (outcome.status, outcome.value, len(server.requests)) == ("completed", "done", 2)
    assert "Not sent: it hands over to several agents at once" in texts(server, 1)


def test_a_model_can_answer_a_proposal_of_an_earlier_turn(served: Any) -> None:
    def accepts_earlier(body: dict[str, Any]) -> loopback.Response:
        prompt = body["messages"][-1]["content"]
        offer = re.search(r'"id": "([^"]+)", "performative": "propose", "content": "plan"', prompt)
        assert offer is not None, prompt
        return several_calls(asking("a", performative="accept", in_reply_to=offer[1]))

    def a(request: Request) -> Reply:
        if not request.messages:
            return Reply(messages=(Message(recipients=("b",), performative="propose", content="plan"),))
        later = Message(recipients=("b",), content="well?")
        return Reply(messages=(later,) if request.messages[0].performative == "ask" else ())

    server = served(several_calls(asking("a")), loopback.text("?"), accepts_earlier, loopback.text("yes"))
    graph = swarm([Agent("a", run=a), Agent("b", model=client(server))], acceptance="unanimous")

    outcome = graph.compile().invoke({"task": "the task"})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", "plan")


def test_a_fallback_that_is_a_model_has_the_peers_of_its_agent(served: Any) -> None:
    def fails(request: Request) -> Any:
        raise ValueError("no")

    server = served(loopback.text("instead"))
    spare = Agent("spare", model=client(server))
    graph = swarm([Agent("a", run=fails, fallback=spare), Agent("b", run=lambda request: "b")])

    assert graph.compile().invoke({"task": "the task"})["outcome"].value == "instead"
    described = server.requests[0].body["tools"][1]["function"]["parameters"]["properties"]["to"]["description"]
    assert described == "the name of one peer: b"


@pytest.mark.parametrize("way", WAYS)
def test_messages_of_one_turn_keep_the_order_in_which_the_model_has_sent_them(way: str, served: Any) -> None:
    calls = [("send_message", {"recipients": ["b"], "content": str(number)}) for number in range(30)]
    later = ("send_message", {"recipients": ["b"], "content": "last"})
    server = served(several_calls(*calls), several_calls(later), loopback.text("done"))
    given = list[str]()

    def b(request: Request) -> Reply:
        given.extend(str(message.content) for message in request.messages)
        return Reply(value=None)

    graph = swarm([Agent("a", model=client(server)), Agent("b", run=b)], per_pair=None)
    WAYS[way](graph.compile(), "the task", None)

    assert given == [*map(str, range(30)), "last"]


@pytest.mark.parametrize("way", WAYS)
def test_a_text_that_does_not_fit_the_schema_goes_back_to_the_model(way: str, served: Any) -> None:
    unfit, fit = loopback.text("I wait for b"), loopback.text('{"name": "Rome"}')
    server = served(several_calls(asking("b")), unfit, several_calls(asking("b")), fit, fit)
    graph = swarm([Agent("a", model=client(server), output=City), Agent("b", run=lambda request: "b")])

    outcome: Outcome = WAYS[way](graph.compile(), "the task", None)

    assert (outcome.status, outcome.value) == ("completed", {"name": "Rome"})
    assert "Your attempt before this one was refused: the model's answer cannot be read" in texts(server, 2)
