"""CPU of one job of each pattern against the same shape by hand on LangGraph: `python -m bench.patterns`.

All agents are functions that return at once, so only the patterns are measured; nothing is checkpointed, and the graphs
by hand have no guard, no review, no budget and no accounting.
"""

from __future__ import annotations

import operator
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import click
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from guardgraph.agents import Agent, Bid, Bidder
from guardgraph.graphs import (
    Rule,
    Subscription,
    Tier,
    auction,
    consensus,
    hierarchy,
    pipeline,
    plurality,
    reactive,
    router,
    supervisor,
    swarm,
)
from guardgraph.state import Event, Message, Plan, Reply, Request, Subtask

__all__ = ("main",)

_CPU = "CPU ms a job"
_Run = Callable[[], Any]


class _State(TypedDict, total=False):
    task: str
    goal: str
    found: Annotated[list[Any], operator.add]
    answer: Any


def _say(name: str) -> Agent:
    return Agent(name, run=lambda request: f"{name} did it", skills={name})


def _lead(name: str, *skills: str) -> Agent:
    subtasks = tuple(Subtask(id=skill, goal=f"do {skill}", skill=skill) for skill in skills)

    def plan(request: Request) -> Plan:
        return Plan(subtasks=subtasks if request.round == 1 else ())

    return Agent(name, run=plan)


def _guarded(graph: Any) -> _Run:
    compiled = graph.compile()
    return lambda: compiled.invoke({"task": "the task"})["outcome"].status == "completed"


def _plain(graph: Any) -> _Run:
    compiled = graph.compile()
    return lambda: bool(compiled.invoke({"task": "the task", "found": []})["found"])


def _found(name: str) -> Callable[[_State], _State]:
    return lambda state: {"found": [f"{name} did it"]}


def _chain_by_hand() -> Any:
    graph: Any = StateGraph(_State)
    for name, before in (("a", START), ("b", "a"), ("c", "b")):
        graph.add_node(name, _found(name))
        graph.add_edge(before, name)
    return graph


def _team_by_hand(*workers: str, more: Mapping[str, Any] | None = None) -> Any:
    """Plan, workers at once, plan again."""
    graph: Any = StateGraph(_State)
    graph.add_node("plan", lambda state: {"answer": len(state.get("found") or ())})
    for name, node in ({name: _found(name) for name in workers} | dict(more or {})).items():
        graph.add_node(name, node)
        graph.add_edge(name, "plan")
    names = [*workers, *(more or {})]
    graph.add_edge(START, "plan")
    graph.add_conditional_edges(
        "plan", lambda state: END if state["answer"] else [Send(name, {"goal": name}) for name in names], [*names, END]
    )
    return graph


def _tiers_by_hand() -> Any:
    inner = {name: _team_by_hand(*skills).compile() for name, skills in (("x", "ab"), ("y", "cd"))}

    def node(graph: Any) -> Callable[[_State], _State]:
        return lambda state: {"found": [graph.invoke({"task": "part", "found": []})["found"]]}

    return _team_by_hand(more={name: node(graph) for name, graph in inner.items()})


def _vote(name: str) -> Agent:
    return Agent(name, run=lambda request: "yes", output=str)


def _asking() -> Agent:
    ask = Message(recipients=("*",), performative="ask", content="your part?")

    def run(request: Request) -> Any:
        return [one.content for one in request.messages] or Reply(messages=(ask,))

    return Agent("a", run=run)


def _reacting() -> Any:
    """One agent emits an event, on which two others work."""
    first = Agent("a", run=lambda request: Reply(value="a did it", events=(Event(type="done"),)))
    others = [Subscription(_say(name), ["done"]) for name in "bc"]
    return reactive([Subscription(first, ["task"]), *others], emits={"a": ["done"]})


def _fan_by_hand() -> Any:
    graph: Any = StateGraph(_State)
    for name, before in (("a", START), ("b", "a"), ("c", "a")):
        graph.add_node(name, _found(name))
        graph.add_edge(before, name)
    return graph


def _branch_by_hand() -> Any:
    graph: Any = StateGraph(_State)
    for name in "abc":
        graph.add_node(name, _found(name))
    graph.add_conditional_edges(START, lambda state: "a" if "task" in state["task"] else "b", [*"abc"])
    return graph


def _vote_by_hand() -> Any:
    graph: Any = StateGraph(_State)
    for name in "abcde":
        graph.add_node(name, lambda state: {"found": ["yes"]})
        graph.add_edge(START, name)
    graph.add_node("count", lambda state: {"answer": Counter(state["found"]).most_common(1)[0][0]})
    graph.add_edge([*"abcde"], "count")
    return graph


def _bidder(name: str) -> Bidder:
    return Bidder(_say(name), bid=lambda lots: [Bid(subtask=lot.id, cost=1) for lot in lots])


def _auction_by_hand() -> Any:
    """Plan, bid at once, award to the lowest cost, work at once."""
    graph: Any = StateGraph(_State)
    graph.add_node("plan", lambda state: {"answer": [*"abc"]})
    graph.add_node("award", lambda state: {"answer": min(1 for _ in state["found"])})
    graph.add_node("end", lambda state: {"answer": len(state["found"])})
    graph.add_edge(START, "plan")
    for name in "abc":
        graph.add_node(f"{name} bids", _found(f"{name} bids"))
        graph.add_edge("plan", f"{name} bids")
        graph.add_node(name, _found(name))
        graph.add_edge(name, "end")
    graph.add_edge([f"{name} bids" for name in "abc"], "award")
    graph.add_conditional_edges("award", lambda state: [Send(name, {"goal": name}) for name in "abc"], [*"abc"])
    return graph


def _tiers() -> Any:
    tiers = [
        Tier(_lead(name, *skills), [_say(skill) for skill in skills]) for name, skills in (("x", "ab"), ("y", "cd"))
    ]
    return hierarchy(Tier(_lead("top", "x-tier", "y-tier"), tiers))


_PATTERNS: Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "pipeline of 3": (lambda: pipeline([_say(name) for name in "abc"]), _chain_by_hand),
    "supervisor of 3": (
        lambda: supervisor(planner=_lead("plan", *"abc"), workers=[_say(n) for n in "abc"]),
        lambda: _team_by_hand(*"abc"),
    ),
    "hierarchy of 2 x 2": (_tiers, _tiers_by_hand),
    "router to one of 3": (
        lambda: router(
            [_say(name) for name in "abc"], rules=[Rule.keywords("task", worker="a")], fallback=_say("rest")
        ),
        _branch_by_hand,
    ),
    "swarm of 3": (lambda: swarm([_asking(), _say("b"), _say("c")]), lambda: _team_by_hand(*"bc")),
    "reactive of 3": (_reacting, _fan_by_hand),
    "auction of 3": (
        lambda: auction([_bidder(name) for name in "abc"], planner=_lead("plan", *"abc")),
        _auction_by_hand,
    ),
    "consensus of 5": (lambda: consensus([_vote(name) for name in "abcde"], vote=plurality), _vote_by_hand),
}


@click.command(help=__doc__)
@click.option("--jobs", type=click.IntRange(min=1), default=20, show_default=True, help="Jobs in one measurement.")
@common_options(rounds=9)
def main(jobs: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    contestants, comparisons = list[Contestant](), list[Comparison]()
    for name, (ours, by_hand) in _PATTERNS.items():
        contestants += [
            _contestant(name, _guarded(ours()), jobs),
            _contestant(f"{name}, by hand", _plain(by_hand()), jobs),
        ]
        comparisons.append(Comparison(name, f"{name}, by hand", _CPU))
    report = Report(
        f"One job of each pattern, {jobs} jobs a measurement", compete(contestants, rounds=rounds), comparisons
    )
    show([report], versions=("guardgraph", "langgraph", "langchain-core"), as_json=as_json)


def _contestant(name: str, run: _Run, jobs: int) -> Contestant:
    def measure() -> Mapping[str, float]:
        begun = time.process_time()
        for _ in range(jobs):
            if not run():
                raise RuntimeError(f"{name} has no answer")
        return {_CPU: (time.process_time() - begun) / jobs * 1000}

    return Contestant(name, measure)


if __name__ == "__main__":
    main()
