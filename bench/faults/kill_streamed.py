"""Kill a process that hands over the parts of a stream, at random moments, and resume its run in another process.

Every agent notes in a file when it begins. What a part has told before the kill must not begin again.

    python -m bench.faults.kill_streamed --trials 200 --database postgresql
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click
from langgraph.graph import StateGraph

from bench.measuring.postgres import new_database
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import Run, Runner
from guardgraph.state import Plan, Request, Subtask

__all__ = ("Trials", "main", "run_trials")

_MODES = ("updates", "values", "tasks", "custom")
_WORKERS = 4
_PARTS = 400
"""About as many as a whole run has."""
_DONE = re.compile(r"done (t[\d.]+)")


def _plan(request: Request) -> Plan:
    """Split a goal in four at first, then in two."""
    count = {1: _WORKERS, 2: 2}.get(request.round, 0)
    goals = [f"{request.task.goal}.{request.round}{number}" for number in range(count)]
    return Plan(subtasks=tuple(Subtask(id=goal, goal=goal) for goal in goals))


def _work(request: Request) -> str:
    with Path(os.environ["BEGUN"]).open("a", encoding="utf-8") as file:
        file.write(f"{request.goal}\n")
    time.sleep(random.uniform(0, 0.02))
    return f"done {request.goal}"


def _build() -> StateGraph[Any, Any, Any, Any]:
    """Return a team of teams; all of them work at the same time."""
    inner = supervisor(planner=Agent("planner", run=_plan), workers=[Agent("worker", run=_work)], name="inner")
    return supervisor(planner=Agent("planner", run=_plan), workers=[Agent("team", run=inner.compile())], name="outer")


def _stream(url: str, thread_id: str) -> None:
    """Stream a run, and tell by lines what each part tells; in the process that is killed."""
    with Runner(url, graphs={"teams": _build}, lease_seconds=0.5, if_busy="wait") as runner:
        for part in runner.stream("teams", "t", thread_id=thread_id, stream_mode=_MODES):
            told = set() if isinstance(part, Run) or "provisional" in part else {*_DONE.findall(repr(part))}
            print(*told, flush=True)


@dataclass(slots=True)
class Trials:
    """What some trials have shown."""

    done: int = 0
    killed: int = 0
    """Those of them that had not ended by themselves."""
    acknowledged: int = 0
    """Agents that were told as done, in all trials."""
    begun: int = 0
    """How often an agent began, in all trials."""
    again: list[str] = field(default_factory=list[str])
    """Those that were told as done, and began again."""
    unfinished: list[str] = field(default_factory=list[str])
    """The status of the runs that did not complete after all."""


def run_trials(count: int, seed: int, url: str) -> Trials:
    """Run trials, each on a thread of its own; the seed gives the moments of the kills."""
    chance, trials = random.Random(seed), Trials()
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            _try(url, f"trial {number}", Path(folder) / "begun", chance, trials)
    return trials


def _try(url: str, thread_id: str, begun: Path, chance: random.Random, trials: Trials) -> None:
    """Kill a process a moment after one of the parts that it hands over, and resume its run in this process."""
    parts, moment = chance.randint(1, _PARTS), chance.uniform(0, 0.02)
    os.environ["BEGUN"] = str(begun)
    command = [sys.executable, "-m", "bench.faults.kill_streamed", "--child", url, thread_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        pipe: Any = child.stdout
        told = [goal for line in islice(pipe, parts) for goal in line.split()]
        time.sleep(moment)
        trials.killed += child.poll() is None
        child.kill()
        told += pipe.read().rpartition("\n")[0].split()
    with Runner(url, graphs={"teams": _build}, lease_seconds=0.5, if_busy="wait") as runner:
        status = runner.resume(thread_id).status
    counts = Counter(begun.read_text(encoding="utf-8").split() if begun.exists() else ())
    trials.done += 1
    trials.acknowledged += len({*told})
    trials.begun += counts.total()
    trials.again += sorted(goal for goal in {*told} if counts[goal] > 1)
    trials.unfinished += [] if status == "completed" else [status]


@contextmanager
def _new_sqlite() -> Generator[str]:
    """Give the URL of a new database in a file."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/runs.db"


@click.command()
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--child", nargs=2, hidden=True)
def main(trials: int, seed: int, database: str, child: tuple[str, str] | None) -> None:
    """Kill streamed runs, and count the agents that were told as done and begin again."""
    if child:
        _stream(*child)
    else:
        with (_new_sqlite if database == "sqlite" else new_database)() as url:
            shown = run_trials(trials, seed, url)
        click.echo(
            f"{shown.done} runs, {shown.killed} killed; agents begun: {shown.begun}, told as done: {shown.acknowledged}"
        )
        click.echo(f"begun again: {shown.again or 0}; not completed: {shown.unfinished or 0}")
        sys.exit(bool(shown.again or shown.unfinished))


if __name__ == "__main__":
    main()
