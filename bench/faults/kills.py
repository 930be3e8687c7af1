"""Kill processes that stream a run, at random moments: `python -m bench.faults.kills --trials 1000 --database mariadb`.

A team of teams is streamed, with `stream` or `astream`, and killed a moment after one of its parts; then its run is
resumed in a new process, which may be killed, too. Every agent notes in a file when it begins and when it is done.
That file is compared with what the parts reported, and with what the database holds after each kill.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import click
from langgraph.graph import StateGraph

from bench.faults.databases import database_option, opened
from bench.faults.forked import Forked, end_in
from bench.faults.team import Effects
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.runs import Run, Runner
from guardgraph.state import Plan, Request, Subtask, UnknownThread

_MODES = ("updates", "values", "tasks", "custom")
_COUNTS = {1: 4, 2: 2}
"""The subtasks of each round, in the outer team and in those within."""
_PARTS = 400
"""About as many as a whole run has."""
_DONE = re.compile(r"done (t[\d.]+)")
_NUMBERS = [f"{round_}{number}" for round_, count in _COUNTS.items() for number in range(count)]
_GOALS = {f"t.{outer}.{inner}" for outer in _NUMBERS for inner in _NUMBERS}


def _plan(request: Request) -> Plan:
    goals = [f"{request.task.goal}.{request.round}{number}" for number in range(_COUNTS.get(request.round, 0))]
    return Plan(subtasks=tuple(Subtask(id=goal, goal=goal) for goal in goals))


def _graphs(log: Effects) -> dict[str, Callable[[], StateGraph[Any, Any, Any, Any]]]:
    """Return a team of teams; all of them work at the same time."""

    def work(request: Request) -> str:
        log.add(f"begun:{request.goal}")
        time.sleep(random.uniform(0, 0.02))
        log.add(f"done:{request.goal}")
        return f"done {request.goal}"

    def build() -> StateGraph[Any, Any, Any, Any]:
        inner = supervisor(planner=Agent("planner", run=_plan), workers=[Agent("worker", run=work)], name="inner")
        return supervisor(
            planner=Agent("planner", run=_plan), workers=[Agent("team", run=inner.compile())], name="outer"
        )

    return {"teams": build}


@dataclass(slots=True)
class Trials:
    """What some trials have shown; the last six are to be empty."""

    trials: int = 0
    kills: int = 0
    """Processes that had not ended by themselves."""
    begun: int = 0
    """How often an agent began."""
    reported: int = 0
    """Agents of which a part that was handed over said that they were done."""
    stored: int = 0
    """Agents whose results were in the database after a kill."""
    reported_again: list[str] = field(default_factory=list[str])
    """Those that were reported, and began again."""
    stored_again: list[str] = field(default_factory=list[str])
    """Those that were stored, and began again."""
    missing: list[str] = field(default_factory=list[str])
    """Threads that were not there after a part had been handed over."""
    lies: list[str] = field(default_factory=list[str])
    """What the database held and the agents had not done."""
    lost: list[str] = field(default_factory=list[str])
    """Agents that had never worked when the run had completed."""
    unfinished: list[str] = field(default_factory=list[str])
    """Runs that did not complete after all."""

    def faults(self) -> bool:
        """Return whether anything was found."""
        found = (self.reported_again, self.stored_again, self.missing, self.lies, self.lost, self.unfinished)
        return any(found)


@dataclass(slots=True)
class _Trial:
    """One run."""

    url: str
    thread_id: str
    log: Effects
    part: int
    """The part after which a process that streams the run is killed."""
    seconds: float
    """How long after that part."""

    def stream(self, lines: TextIO) -> None:
        """Stream the run, and write which agents each part reports as done."""
        parts = self._opened().stream("teams", "t", thread_id=self.thread_id, stream_mode=_MODES)
        for number, part in enumerate(parts):
            self._hand_over(number, part, lines)

    def astream(self, lines: TextIO) -> None:
        """Do as `stream`, in an event loop."""

        async def stream() -> None:
            number = 0
            async for part in self._opened().astream("teams", "t", thread_id=self.thread_id, stream_mode=_MODES):
                self._hand_over(number, part, lines)
                number += 1

        asyncio.run(stream())

    def _hand_over(self, number: int, part: Any, lines: TextIO) -> None:
        print(*_reported(part), file=lines)
        if number == self.part:
            end_in(self.seconds)

    def resume(self, lines: TextIO, kill_in: float | None = None) -> None:
        """Write what is stored, with how often each of those agents has begun so far; then finish the run."""
        runner = self._opened()
        try:
            status = runner.status(self.thread_id).status
            tuples = [repr(item) for item in runner.saver.list({"configurable": {"thread_id": self.thread_id}})]
            stored = {*_DONE.findall(" ".join(tuples))}
            begun = _logged(self.log, "begun")
            print(json.dumps([status, {goal: begun[goal] for goal in stored}]), file=lines)
            if kill_in is not None:
                end_in(kill_in)
            run = runner.resume(self.thread_id)
        except UnknownThread:
            print(json.dumps(["unknown", {}]), file=lines)
            run = runner.run("teams", "t", thread_id=self.thread_id)
        print(json.dumps([run.status, {}]), file=lines)

    def _opened(self) -> Runner:
        # A process that was killed holds its lease on for a while.
        return Runner(self.url, graphs=_graphs(self.log), lease_seconds=0.5, if_busy="wait")


def _reported(part: Any) -> set[str]:
    return set() if isinstance(part, Run) or "provisional" in part else {*_DONE.findall(repr(part))}


def _run_trial(trial: _Trial, chance: random.Random, found: Trials) -> None:
    """Let a process be killed a moment after a part, perhaps the next one as well, and finish the run."""
    thread, log = trial.thread_id, trial.log
    found.trials += 1
    with Forked(chance.choice([trial.stream, trial.astream])) as child:
        lines = [line for line in child if line.endswith("\n")]
        found.kills += child.killed()
    reported, stored = {goal for line in lines for goal in line.split()}, dict[str, int]()
    answers = list[str]()
    for last in (False, True) if chance.random() < 0.3 else (True,):
        with Forked(partial(trial.resume, kill_in=None if last else chance.uniform(0, 0.3))) as child:
            held = [*islice(child, 1)]
            answers = [line for line in child if line.endswith("\n")]
            found.kills += child.killed()
        for line in held:
            status, goals = json.loads(line)
            done = _logged(log, "done")
            stored = {**goals, **stored}
            found.missing += [thread] if status == "unknown" and lines else []
            found.lies += [f"{thread}: {lie}" for lie in _lies(status, goals, {*done})]
    begun, done = _logged(log, "begun"), {*_logged(log, "done")}
    found.begun += begun.total()
    found.reported += len(reported)
    found.stored += len(stored)
    found.reported_again += sorted(goal for goal in reported if begun[goal] > 1)
    found.stored_again += sorted(goal for goal, count in stored.items() if begun[goal] > count)
    status = json.loads(answers[-1])[0] if answers else "no answer"
    found.unfinished += [] if status == "completed" else [f"{thread}: {status}"]
    found.lost += sorted(_GOALS - done) if status == "completed" else []


def _logged(log: Effects, what: str) -> Counter[str]:
    return Counter(line.partition(":")[2] for line in log.read() if line.startswith(f"{what}:"))


def _lies(status: str, stored: Iterable[str], done: set[str]) -> Iterable[str]:
    """Yield what the database holds after a kill that is not so by the log."""
    if status not in ("running", "crashed", "completed", "unknown"):
        yield f"the run is {status}"
    if status == "completed" and done != _GOALS:
        yield f"the run is completed without {sorted(_GOALS - done)}"
    if not done >= {*stored}:
        yield f"{sorted({*stored} - done)} are stored, and were never done"


@click.command(help=__doc__)
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the moments of the kills.")
@click.option("--url", default="", help="A database; a new one by default.")
@database_option
def main(trials: int, seed: int, url: str, database: str) -> None:
    chance, found = random.Random(seed), Trials()
    with tempfile.TemporaryDirectory() as name, opened(database, Path(name)) as new:
        for number in range(trials):
            thread = f"trial {seed}-{number}"
            log, part, seconds = (
                Effects(Path(name) / f"log {number}"),
                chance.randint(0, _PARTS),
                chance.uniform(0, 0.02),
            )
            _run_trial(_Trial(url or new, thread, log, part, seconds), chance, found)
    click.echo(json.dumps(asdict(found)))
    sys.exit(found.faults())


if __name__ == "__main__":
    main()
