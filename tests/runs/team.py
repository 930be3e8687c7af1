"""A small team for the tests of the runner; it notes every working agent in the file that WORKED names."""

from __future__ import annotations

import os
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from langgraph.graph import StateGraph
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import Runner
from guardgraph.runs.execution import RunExecution
from guardgraph.state import Plan, Request, Subtask
from tests.storage.sql.leased import expire_leases


def note(request: Request, what: str = "") -> None:
    """Write down that an agent has begun."""
    with Path(os.environ["WORKED"]).open("a", encoding="utf-8") as file:
        file.write(f"{'/'.join(request.path)} {request.goal} {what}\n")


def plan(request: Request) -> Plan:
    """Split the task in three, once."""
    if request.round > 1:
        return Plan()
    return Plan(subtasks=tuple(Subtask(id=f"part-{n}", goal=f"{request.task.goal}.{n}") for n in range(3)))


def work(request: Request) -> str:
    """Do a leaf's work; those that fit the pattern in SLOW hang."""
    note(request)
    if fnmatch(request.goal, os.environ.get("SLOW", "")):
        time.sleep(60)
    return f"done {request.goal}"


def plan_at_last(request: Request) -> Plan:
    """Fail the first time that a goal is to be planned."""
    marker = Path(os.environ["WORKED"]).with_name(f"planned-{request.task.goal}")
    if not marker.exists():
        marker.touch()
        raise ValueError("not yet")
    return plan(request)


def write(request: Request) -> str:
    """Write the results down in order."""
    return ", ".join(sorted(str(piece.value) for piece in request.results))


def ask(request: Request) -> str:
    """Ask a human, for one of the parts."""
    if request.goal.endswith(".1"):
        return f"human said {interrupt({'about': request.goal})}"
    return work(request)


def flat() -> StateGraph[Any, Any, Any, Any]:
    """Return one team of three workers."""
    return supervisor(
        planner=Agent("planner", run=plan), workers=[Agent("worker", run=work)], synthesizer=Agent("writer", run=write)
    )


def asking() -> StateGraph[Any, Any, Any, Any]:
    """Return a team that asks a human."""
    return supervisor(
        planner=Agent("planner", run=plan), workers=[Agent("worker", run=ask)], synthesizer=Agent("writer", run=write)
    )


def tiers(attempts: int = 1) -> StateGraph[Any, Any, Any, Any]:
    """Return three tiers: teams of teams of workers."""
    middle = supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("low", run=flat().compile(), attempts=attempts)],
        synthesizer=Agent("writer", run=write),
        name="middle",
    )
    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("mid", run=middle.compile(), attempts=attempts)],
        synthesizer=Agent("writer", run=write),
        name="top",
    )


def second() -> StateGraph[Any, Any, Any, Any]:
    """Return teams of workers that fail at their first attempt."""
    low = supervisor(
        planner=Agent("planner", run=plan_at_last),
        workers=[Agent("worker", run=work)],
        synthesizer=Agent("writer", run=write),
        name="low",
    )
    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("low", run=low.compile(), attempts=2)],
        synthesizer=Agent("writer", run=write),
        name="top",
    )


def plan_many(request: Request) -> Plan:
    """Split the task in twelve, once: two parts of one figure, ten of two."""
    if request.round > 1:
        return Plan()
    return Plan(subtasks=tuple(Subtask(id=f"{n}", goal=f"{request.task.goal}.{n}") for n in (0, 1, *range(10, 20))))


def wide() -> StateGraph[Any, Any, Any, Any]:
    """Return three teams of twelve workers, all at work at the same time."""
    low = supervisor(
        planner=Agent("planner", run=plan_many),
        workers=[Agent("worker", run=work)],
        synthesizer=Agent("writer", run=write),
        concurrency=None,
        name="low",
    )
    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("low", run=low.compile())],
        synthesizer=Agent("writer", run=write),
        concurrency=None,
        name="top",
    )


def accepted_and_killed(runner: Runner, graph: str, task: str, thread_id: str) -> RunExecution:
    """Accept a run and leave it as a process does that is killed at once, after its lease has run out."""
    attempts = runner._attempts  # pyright: ignore[reportPrivateUsage] - there is no public way to die
    attempt = attempts.begin(graph, task, thread_id=thread_id)
    attempts.leases._held.clear()  # pyright: ignore[reportPrivateUsage]
    expire_leases(runner.saver.engine)
    return attempt


GRAPHS = {"flat": flat, "asking": asking, "tiers": tiers, "second": second, "wide": wide}


def main(url: str, graph: str, thread_id: str) -> None:
    """Run a graph in a process of its own, to be killed."""
    with Runner(url, graphs=GRAPHS) as runner:
        print(runner.run(graph, "t", thread_id=thread_id).outcome)
