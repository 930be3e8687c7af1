"""Agents that never end by themselves, made with stock packages; each with the same guards around it, or with none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, MessagesState, StateGraph

from bench.measuring.peers import peer
from guardgraph.agents import GuardMiddleware
from guardgraph.graphs import guarded
from guardgraph.guards import Budget, Depth, Guard, Repetition
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Outcome

__all__ = ("RUNAWAYS", "Ran", "Runaway", "run")

_STEPS = 100
"""LangGraph's `recursion_limit` for each graph; the default is 10,007."""
_LEVELS = 50
"""How deep the graph that calls itself may go without guards; no setting of LangGraph limits that."""
_READ, _WRITTEN = 60, 40
"""Tokens that each call of a model reports."""


class Ran(NamedTuple):
    """What a runaway has done until it ended."""

    calls: int
    """Calls of models."""
    tokens: int
    ended: str
    """How it has ended."""
    outcome: Outcome | None = None


class Runaway(NamedTuple):
    """One agent that never ends by itself."""

    name: str
    build: Callable[[Sequence[Guard]], tuple[Any, Callable[[], int]]]
    """Returns its graph, under guards where there are some, and what counts the calls of its models."""
    guards: Sequence[Guard]


def run(runaway: Runaway, *, with_guards: bool) -> Ran:
    """Let a runaway work until something ends it."""
    graph, calls = runaway.build(runaway.guards if with_guards else ())
    try:
        output = graph.invoke({"messages": [HumanMessage("go")]}, {"recursion_limit": _STEPS})
    except GraphRecursionError:
        return Ran(calls(), calls() * (_READ + _WRITTEN), f"`GraphRecursionError` at {_STEPS} steps")
    except RecursionError:
        return Ran(calls(), calls() * (_READ + _WRITTEN), f"by hand, at {_LEVELS} levels")
    outcome: Outcome = output["outcome"]
    ended = f"{outcome.status}, stopped by {outcome.stopped_by}" if outcome.stopped_by else outcome.status
    return Ran(calls(), calls() * (_READ + _WRITTEN), ended, outcome)


def _model(reply: Callable[[list[BaseMessage]], Any]) -> ScriptedModel:
    return ScriptedModel(replies=reply, input_tokens=_READ, output_tokens=_WRITTEN)


def _calling(name: str, text: str = "", **arguments: Any) -> AIMessage:
    return AIMessage(text, tool_calls=[{"name": name, "args": arguments, "id": f"call_{next(_NUMBERS)}"}])


_NUMBERS = count()


def _around(graph: Any, guards: Sequence[Guard]) -> Any:
    return guarded(graph, guards).compile() if guards else graph


@tool
def search(q: str) -> str:
    """Search for something."""
    return f"found nothing on {q}"


def _swarm(guards: Sequence[Guard]) -> tuple[Any, Callable[[], int]]:
    package = peer("langgraph_swarm", distribution="langgraph-swarm")
    pairs = (("alice", "bob"), ("bob", "alice"))
    models = {one: _model(lambda _, to=other: _calling(f"transfer_to_{to}", "yours")) for one, other in pairs}
    agents = [
        create_agent(models[one], [package.create_handoff_tool(agent_name=other)], name=one) for one, other in pairs
    ]
    graph = package.create_swarm(agents, default_active_agent="alice").compile()
    return _around(graph, guards), lambda: sum(model.calls for model in models.values())


def _supervisor(guards: Sequence[Guard]) -> tuple[Any, Callable[[], int]]:
    package = peer("langgraph_supervisor", distribution="langgraph-supervisor")
    lead = _model(lambda _: _calling("transfer_to_worker", "do it again"))
    model = _model(lambda messages: f"done {len(messages)}")
    graph = package.create_supervisor([create_agent(model, [], name="worker")], model=lead).compile()
    return _around(graph, guards), lambda: lead.calls + model.calls


def _looping(guards: Sequence[Guard]) -> tuple[Any, Callable[[], int]]:
    model = _model(lambda _: _calling("search", "let me see", q="x"))
    return create_agent(model, [search], middleware=_inside(guards)), lambda: model.calls


def _deep(guards: Sequence[Guard]) -> tuple[Any, Callable[[], int]]:
    package = peer("deepagents", distribution="deepagents")
    model = _model(lambda _: _calling("search", "let me see", q="x"))
    return package.create_deep_agent(model, tools=[search], middleware=_inside(guards)), lambda: model.calls


def _inside(guards: Sequence[Guard]) -> list[Any]:
    return [GuardMiddleware(guards)] if guards else []


def _self_invoking(guards: Sequence[Guard]) -> tuple[Any, Callable[[], int]]:
    graphs, model = list[Any](), _model(lambda _: "deeper")

    def deeper(state: MessagesState) -> dict[str, Any]:
        answer = model.invoke(state["messages"])
        if model.calls >= _LEVELS:
            raise RecursionError("deep enough")
        graphs[0].invoke({"messages": [answer, HumanMessage("go on")]})
        return {"messages": [answer]}

    graph = StateGraph(MessagesState)
    graph.add_node("deeper", deeper)
    graph.add_edge(START, "deeper")
    graphs.append(_around(graph.compile(), guards))
    return graphs[0], lambda: model.calls


RUNAWAYS = (
    Runaway("`langgraph-swarm`, two agents that hand over to each other", _swarm, [Budget(calls=30), Repetition(3)]),
    Runaway("`langgraph-supervisor` that always delegates", _supervisor, [Budget(calls=30), Repetition(3)]),
    Runaway("`create_agent` that calls one tool again and again", _looping, [Budget(calls=30), Repetition(3)]),
    Runaway("a graph that calls itself", _self_invoking, [Budget(calls=30), Depth(5)]),
    Runaway("`deepagents` that calls one tool again and again", _deep, [Budget(calls=30), Repetition(3)]),
)
