"""CPU and memory a worker of one round with many workers: `python -m bench.fan_out`.

Every measurement is a new process, without a checkpointer. The workers are functions that return at once; the plain
graph sends the same number of them by `Send`, without any guard, review or account.
"""

from __future__ import annotations

import operator
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import click
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Limits
from guardgraph.state import Plan, Request, Subtask

_CPU, _MEMORY = "CPU µs a worker", "memory KB a worker"
_FEW = 1_000


class _State(TypedDict, total=False):
    goal: str
    found: Annotated[list[str], operator.add]


def _guarded(workers: int) -> Callable[[], int]:
    """Return a run of a supervisor that plans as many subtasks at once."""
    subtasks = tuple(Subtask(id=f"s{number}", goal=f"goal {number}") for number in range(workers))

    def plan(request: Request) -> Plan:
        return Plan(subtasks=subtasks if request.round == 1 else ())

    team: Any = supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("worker", run=lambda request: request.goal)],
        guards=[Limits(subtasks=None)],
    ).compile()
    return lambda: len(team.invoke({"task": "work"})["outcome"].value)


def _plain(workers: int) -> Callable[[], int]:
    """Return a run of a graph that sends as many tasks at once."""
    graph: Any = StateGraph(_State)
    graph.add_node("worker", lambda state: {"found": [state["goal"]]})
    graph.add_conditional_edges(
        START, lambda _: [Send("worker", {"goal": f"goal {number}"}) for number in range(workers)], ["worker"]
    )
    graph.add_edge("worker", END)
    team = graph.compile()
    return lambda: len(team.invoke({"found": []})["found"])


_TEAMS = {"guardgraph": _guarded, "plain LangGraph": _plain}


def measure(team: str, workers: int) -> None:
    """Print CPU and memory of one run, in this process."""
    run = _TEAMS[team](workers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    answers = run()
    cpu = time.process_time() - begun
    if answers != workers:
        raise RuntimeError(f"{team} answered {answers} of {workers}")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / (2**10 if sys.platform == "darwin" else 1)
    print(cpu / workers * 1e6, grown / workers)


@click.command(help=__doc__)
@click.option("--workers", type=click.IntRange(min=2 * _FEW), default=10_000, show_default=True)
@common_options(rounds=3)
def main(workers: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    names = {(team, count): f"{team}, {count:,} workers" for team in _TEAMS for count in (_FEW, workers)}
    ours, peer = "guardgraph", "plain LangGraph"
    comparisons = (
        Comparison(names[ours, workers], names[ours, _FEW], _CPU, at_most=1.2),
        Comparison(names[peer, workers], names[peer, _FEW], _CPU),
        Comparison(names[ours, workers], names[peer, workers], _CPU),
        Comparison(names[ours, workers], names[peer, workers], _MEMORY, at_most=1.0),
    )
    contestants = [_contestant(name, team, count) for (team, count), name in names.items()]
    report = Report("One round, each in a new process", compete(contestants, rounds=rounds), comparisons)
    show([report], versions=("guardgraph", "langgraph", "langchain-core"), as_json=as_json)


def _contestant(name: str, team: str, workers: int) -> Contestant:
    command = [sys.executable, "-c", f"from bench.fan_out import measure; measure({team!r}, {workers})"]

    def measured() -> Mapping[str, float]:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        cpu, memory = map(float, done.stdout.split())
        return {_CPU: cpu, _MEMORY: memory}

    return Contestant(name, measured)


if __name__ == "__main__":
    main()
