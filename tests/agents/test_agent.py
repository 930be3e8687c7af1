from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Amount, BadGraph, Request
from tests.graphs.teams import team


class Numbers(TypedDict):
    number: int


SPOKEN = ScriptedModel(replies=lambda _: "said")


def work(request: Request) -> str:
    return request.goal


def chat() -> Any:
    """Return a compiled graph with a `messages` channel."""
    graph: Any = StateGraph(MessagesState)
    graph.add_node("say", lambda state: {"messages": [AIMessage("said")]})
    return graph.add_edge(START, "say").compile()


def sums() -> Any:
    """Return a compiled graph of somebody else, without a `messages` channel."""
    graph: Any = StateGraph(Numbers)
    graph.add_node("add", lambda state: {"number": state["number"] + 1})
    return graph.add_edge(START, "add").compile()


MODEL = ScriptedModel(replies=["said"])


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (Agent("a", run=work), "function"),
        (Agent("a", run=RunnableLambda(work)), "runnable"),
        (Agent("a", run=team().compile()), "team"),
        (Agent("a", run=team().compile(), to_input=work, from_output=work), "graph"),
        (Agent("a", run=chat()), "messages"),
        (Agent("a", run=chat(), from_output=work), "messages"),
        (Agent("a", run=chat(), to_input=work, from_output=work), "graph"),
        (Agent("a", run=chat().with_config(tags=["t"])), "messages"),
        (Agent("a", run=chat().with_retry()), "messages"),
        (Agent("a", run=chat().with_fallbacks([chat()])), "messages"),
        (Agent("a", run=sums(), to_input=work, from_output=work), "graph"),
        (Agent("a", model=MODEL), "model"),
        (Agent("a", model="offline:extractive"), "model"),
    ],
)
def test_an_agent_knows_what_it_is_made_of(agent: Agent, kind: str) -> None:
    assert agent.kind == kind


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Agent("a"), "exactly one of `run`, `model` and `models`"),
        (lambda: Agent("a", run=work, model=MODEL), "exactly one of `run`, `model` and `models`"),
        (lambda: Agent("a", run=team()), r"not compiled; pass `graph\.compile\(\)`"),
        (lambda: Agent("a", run=MODEL), "a chat model; pass it as `model=`"),
        (lambda: Agent("a", run="work"), "must be a function, a Runnable or a compiled graph, got str"),
        (lambda: Agent("a", run=work, tools=[work]), "`tools` go with `model`"),
        (lambda: Agent("a", run=sums()), "no `messages` channel: give `to_input=`"),
        (lambda: Agent("a", run=sums(), to_input=work), "no `messages` channel"),
        (lambda: Agent("a", run=sums(), from_output=work), "no `messages` channel"),
        (lambda: Agent("a", run=sums().with_retry()), "no `messages` channel"),
        (lambda: Agent("a", run=work, skills="research"), r"`skills` must be a list, got one str: write skills=\[…\]"),
        (lambda: Agent("a", run=work, fallback=work), r"`fallback` must be Agent \| None, got function"),  # type: ignore[arg-type]
        (lambda: Agent("a", model=3), "`model` must be a chat model or its name, got int$"),  # type: ignore[arg-type]
        (lambda: Agent("a", model=chat()), "got CompiledStateGraph; pass a function or a Runnable as `run=`"),
        (lambda: Agent("a", model=SPOKEN.bind(stop=["."])), "give the model itself: settings go to its constructor"),  # type: ignore[arg-type]
        (lambda: Agent("a", model=SPOKEN.with_retry()), "give the model itself: .* retries to `attempts=`"),  # type: ignore[arg-type]
        (lambda: Agent("a", model=work), "got function; pass a function or a Runnable as `run=`"),  # type: ignore[arg-type]
        (lambda: Agent("a", model=MODEL, tools=work), r"`tools` must be a list, got one function: write tools=\[…\]"),  # type: ignore[arg-type]
        (lambda: Agent("a", run=work, skills=[1]), "each of `skills` must be str, got 1"),  # type: ignore[list-item]
        (lambda: Agent("a", run=work, output="Report"), "`output` must be a type that pydantic can check"),
        (lambda: Agent("a", run=work, output=object()), "`output` must be a type that pydantic can check"),
    ],
)
def test_what_is_declared_wrongly_is_refused_at_once(declare: Callable[[], Agent], message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        declare()


@pytest.mark.parametrize("name", ["a", "an agent", "ä", "_a", "x" * 100])
def test_a_name_is_any_short_text(name: str) -> None:
    assert Agent(name, run=work).name == name


@pytest.mark.parametrize("name", ["", "  ", None, 7])
def test_a_name_is_needed(name: Any) -> None:
    with pytest.raises(BadGraph, match="an agent needs a name"):
        Agent(name, run=work)


@pytest.mark.parametrize("name", ["a:b", "a|b", "a/b", "__a", "x" * 101])
def test_a_name_that_a_graph_or_an_account_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(BadGraph, match="at most 100 characters, without"):
        Agent(name, run=work)


@pytest.mark.parametrize(
    ("field", "lowest", "below"),
    [
        ("attempts", 1, 0),
        ("timeout", 0.001, 0),
        ("max_tokens", 1, 0),
        ("budget_share", 0.001, 0),
        ("expected_cost", 0, -1),
    ],
)
def test_limits_have_a_lowest_value(field: str, lowest: Any, below: Any) -> None:
    assert getattr(Agent("a", run=work, **{field: lowest}), field) == lowest
    with pytest.raises(BadGraph, match=rf"agent 'a': `{field}` must .*got {below}"):
        Agent("a", run=work, **{field: below})


@pytest.mark.parametrize(
    ("field", "highest", "above"),
    [("budget_share", 1, 1.01), ("timeout", 1e9, 1e10), ("timeout", 1e9, math.inf), ("timeout", 1, math.nan)],
)
def test_limits_have_a_highest_value(field: str, highest: Any, above: Any) -> None:
    assert getattr(Agent("a", run=work, **{field: highest}), field) == highest
    with pytest.raises(BadGraph, match=rf"agent 'a': `{field}` must .*got {re.escape(str(above))}"):
        Agent("a", run=work, **{field: above})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expected_cost", "1000"),
        ("expected_cost", 1e3),
        ("expected_cost", {"tokens": 1000}),
        ("timeout", "30"),
        ("attempts", True),
        ("attempts", 1.5),
        ("max_tokens", "9"),
        ("budget_share", "0.5"),
        ("instructions", None),
        ("to_input", "it"),
    ],
)
def test_a_field_is_of_the_kind_that_it_is_declared_as(field: str, value: Any) -> None:
    with pytest.raises(BadGraph, match=rf"^agent 'a': `{field}` must be .*, got "):
        Agent("a", run=work, **{field: value})


@pytest.mark.parametrize(
    ("expects", "amount"), [(None, None), (0, Amount()), (7, Amount(tokens=7)), (Amount(calls=2), Amount(calls=2))]
)
def test_a_number_of_expected_tokens_is_an_amount(expects: Any, amount: Amount | None) -> None:
    assert Agent("a", run=work, expected_cost=expects).expected_amount == amount


def test_its_line_is_the_agent_and_its_fallbacks() -> None:
    third = Agent("third", run=work)
    first = Agent("first", run=work, fallback=Agent("second", run=work, fallback=third))

    assert [agent.name for agent in first.fallback_chain] == ["first", "second", "third"]
    assert third.fallback_chain == (third,)


def test_skills_and_tools_are_kept_as_they_cannot_change() -> None:
    agent = Agent("a", model=MODEL, skills=["x", "y", "x"], tools=[work])

    assert agent.skills == frozenset({"x", "y"})
    assert agent.tools == (work,)
