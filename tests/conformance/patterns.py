"""The graphs in which the tested agent works, beside a helper that always answers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from guardgraph.agents import Agent, Bid, Bidder
from guardgraph.graphs import (
    Board,
    Parallel,
    Rule,
    Stage,
    Subscription,
    Team,
    Tier,
    auction,
    consensus,
    guarded,
    hierarchy,
    pipeline,
    reactive,
    router,
    supervisor,
    swarm,
)
from guardgraph.guards import Budget, Deadline, Depth, Schema
from guardgraph.runs import boards
from guardgraph.state import Message, Outcome, Plan, Reply, Request, Subtask
from tests.graphs.panels import scored

__all__ = ("PATTERNS",)

_Graph = StateGraph[Any, Any, Any, Any]


def _helper() -> Agent:
    return Agent("helper", run=lambda request: "helped")


def _gather(request: Request) -> list[Any]:
    return [piece.value for piece in request.results]


def _plan(request: Request) -> Plan:
    if request.round > 1:
        return Plan()
    work = [Subtask(id=name, goal=f"do what is for the {name}", skill=name) for name in ("helper", "tested")]
    return Plan(subtasks=tuple(work))


def a_supervisor(agent: Agent) -> _Graph:
    return supervisor(
        planner=Agent("planner", run=_plan),
        workers=[_helper(), agent],
        synthesizer=Agent("writer", run=_gather),
    )


def a_pipeline(agent: Agent) -> _Graph:
    return pipeline([_helper(), Stage(agent, critical=False), Agent("closing", run=_gather)])


def a_router(agent: Agent) -> _Graph:
    return router([agent], fallback=_helper(), rules=[Rule.when(lambda task: True, worker=agent, name="any")])


def an_own_pattern(agent: Agent) -> _Graph:
    helper, writer = _helper(), Agent("writer", run=_gather)
    team = Team("own", guards=[Depth(), Schema()], entry=[helper, agent], author=writer)
    team.add_agents([helper, agent], gate="handoff")
    team.add_gate("handoff", agents=[helper, agent], route=lambda gate: gate.conclude())
    return team.build()


def a_nested_supervisor(agent: Agent) -> _Graph:
    team = Agent("team", run=a_supervisor(agent).compile())

    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="outer", goal="do it by a team"),)) if request.round == 1 else Plan()

    return supervisor(planner=Agent("planner", run=plan), workers=[team], name="above")


def a_parallel_stage(agent: Agent) -> _Graph:
    return pipeline([Parallel(_helper(), Stage(agent, critical=False)), Agent("closing", run=_gather)], name="block")


def a_hierarchy(agent: Agent) -> _Graph:
    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="outer", goal="do it by a tier"),)) if request.round == 1 else Plan()

    low = Tier(Agent("lead", run=_plan), [_helper(), agent], synthesizer=Agent("writer", run=_gather))
    return hierarchy(Tier(Agent("chief", run=plan), [low]))


def _join(request: Request) -> dict[str, Any]:
    """Judge a panel: write down all candidates, in an order that does not depend on their labels."""
    values = sorted((item.value for item in request.results), key=str)
    scores = scored(request, lambda value: 5).model_dump(mode="json")
    return {**scores, "value": values, "based_on": [item.title for item in request.results]}


def a_consensus(agent: Agent) -> _Graph:
    """Return a panel of the agent and a helper; an agent with a schema of its own is a panelist as a team."""
    panelist = agent if agent.output is None else Agent("typed", run=pipeline([agent]).compile())
    return consensus([_helper(), panelist], judge=Agent("judge", run=_join), synthesize=True, quorum=1)


def a_swarm(agent: Agent) -> _Graph:
    """Return peers of which one asks all others, and answers what is back; the agent works with the helper."""

    def ask(request: Request) -> Any:
        if request.messages:
            return sorted((item.content for item in request.messages if item.sender != "team"), key=str)
        return Reply(messages=(Message(recipients=("*",), performative="ask", content=request.task.goal),))

    return swarm([Agent("chief", run=ask), _helper(), agent])


def an_auction(agent: Agent) -> _Graph:
    """Return an auction of a lot that only the agent can do, and of one for the helper, who bids by a function."""

    def bids(lots: Sequence[Subtask]) -> list[Bid]:
        return [Bid(subtask=lot.id, cost=1) for lot in lots]

    bidders = [Bidder(_helper(), bid=bids), Bidder(agent, bid=bids, capacity=2)]
    return auction(bidders, planner=Agent("planner", run=_plan), synthesizer=Agent("writer", run=_gather))


def a_reactive_team(agent: Agent) -> _Graph:
    """Return a helper and the agent, who both subscribe to the task."""
    return reactive([Subscription(_helper(), ["task"]), Subscription(agent, ["task"])])


def a_team_with_a_board(agent: Agent) -> _Graph:
    """Return a helper that writes a decision, the agent, and one that answers what was done and decided."""

    def decide(request: Request) -> str:
        boards.current("plan").update("route", lambda route: "by train", kind="decision")
        return "helped"

    def close(request: Request) -> list[Any]:
        return [*_gather(request), *(item.value for item in request.decisions)]

    board = Board("plan", write={"helper": ("route",)})
    stages = [Agent("helper", run=decide), Stage(agent, critical=False), Agent("closing", run=close)]
    return pipeline(stages, board=board, name="with_board")


class Asked(TypedDict):
    task: str


class Answered(TypedDict):
    answers: Annotated[list[Any], operator.add]


class Work(Asked, Answered):
    outcome: Outcome


def a_guarded_graph(agent: Agent) -> _Graph:
    """Return guards around guards around a graph of which one node is a team: what that leaves out is the graph's."""
    graph: Any = StateGraph(Work, input_schema=Asked, output_schema=Answered)
    graph.add_node("helper", lambda state: {"answers": ["helped"]})
    graph.add_node("team", pipeline([Stage(agent, critical=False)], name="team").compile())
    graph.add_node("closing", lambda state: {"answers": [state["outcome"].value]})
    graph.add_edge(START, "helper")
    graph.add_edge("helper", "team")
    graph.add_edge("team", "closing")
    within = guarded(graph.compile(), [Budget(calls=20), Deadline(60)])
    return guarded(within.compile(), [Budget(calls=10), Depth(9)], name="above")


PATTERNS: Mapping[str, Callable[[Agent], _Graph]] = {
    "supervisor": a_supervisor,
    "pipeline": a_pipeline,
    "router": a_router,
    "own pattern": an_own_pattern,
    "nested supervisor": a_nested_supervisor,
    "parallel stage": a_parallel_stage,
    "hierarchy": a_hierarchy,
    "consensus": a_consensus,
    "swarm": a_swarm,
    "auction": an_auction,
    "reactive": a_reactive_team,
    "board": a_team_with_a_board,
    "guarded graph": a_guarded_graph,
}
"""Every pattern, given the agent that is tested. A new one is one more line."""
