"""Every call of a run to its database fails once: `python -m bench.faults.nth_call --database postgresql`.

For each n and each kind of error, the n-th statement or commit of a run fails, and the run is resumed. Its final state
has to be that of a run without faults, no effect may have happened twice, and the status in between has to agree with
the log of effects, which is a file.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import uuid4

import click
from rich.console import Console
from rich.table import Table

from bench.faults.databases import database_option, opened
from bench.faults.failing_calls import KINDS, FailingCalls, failing_calls
from bench.faults.team import Effects
from guardgraph.agents import Agent
from guardgraph.graphs import pipeline, supervisor
from guardgraph.runs import Run, Runner, effects
from guardgraph.runs.effects import Done, NotDone
from guardgraph.state import Plan, Request, StorageError, Subtask, UnknownThread

__all__ = ("Tally", "Trials", "calls_of_a_run", "graphs_of", "trial")

_STEPS = ("s0", "s1", "s2")


@dataclass(slots=True)
class Tally:
    """What was counted over the trials with one kind of error; all but the first two are to be empty."""

    trials: int = 0
    raised: int = 0
    """Trials in which the fault reached the caller; in others it was tried again, or left out."""
    untyped: list[str] = field(default_factory=list[str])
    """Errors that are no `StorageError`."""
    lies: list[str] = field(default_factory=list[str])
    """Status and results that do not agree with the effects."""
    other: list[str] = field(default_factory=list[str])
    """Final states that are not that of a run without faults."""
    twice: list[str] = field(default_factory=list[str])
    """Effects that happened twice."""


def graphs_of(log: Effects) -> dict[str, Callable[[], Any]]:
    """Return builders of teams of three agents, which work one after the other, or at once.

    Each makes one effect; the log is read where the end of an effect is not known.
    """

    def make(goal: str, name: str) -> Any:
        key = f"{goal}/{name}"

        def happened(_: str) -> Done | NotDone:
            return Done(name) if key in log.read() else NotDone()

        def effect() -> str:
            log.add(key)
            return name

        return effects.once(key, effect, check=happened)

    def plan(request: Request) -> Plan:
        first = request.round == 1
        return Plan(subtasks=tuple(Subtask(id=name, goal=f"{request.goal}/{name}") for name in _STEPS) if first else ())

    def stage(name: str) -> Agent:
        return Agent(name, run=lambda request: make(request.task.goal, name))

    def at_once(request: Request) -> Any:
        return make(*request.goal.split("/"))

    return {
        "pipeline": lambda: pipeline([stage(name) for name in _STEPS]),
        "supervisor": lambda: supervisor(
            planner=Agent("planner", run=plan), workers=[Agent("worker", run=at_once)], name="team"
        ),
    }


class Trials(NamedTuple):
    """What the trials with one team share."""

    runner: Runner
    calls: FailingCalls
    log: Effects
    team: str


def calls_of_a_run(trials: Trials) -> tuple[int, Any]:
    """Return how many statements and commits a run without faults has, and its state."""
    thread = uuid4().hex
    trials.calls.begin(-1, "")
    run = trials.runner.run(trials.team, thread, thread_id=thread)
    return trials.calls.count, _state(run, thread)


def trial(trials: Trials, at: int, kind: str, good: Any, tally: Tally) -> None:
    """Let one call of a run fail, look at it, resume it, and count; `good` is the state of a run without faults."""
    runner, calls, log, team = trials
    thread = uuid4().hex
    tally.trials += 1
    calls.begin(at, kind)
    try:
        runner.run(team, thread, thread_id=thread)
    except StorageError:
        tally.raised += 1
    except Exception as error:
        tally.untyped.append(f"{type(error).__name__}: {error}"[:100])
    what = f"{team}, call {at} ({calls.failed})"
    calls.begin(-1, "")
    done = Counter(item.partition("/")[2] for item in log.read() if item.startswith(thread))
    tally.lies += [f"{what}: {lie}" for lie in _lies(runner, thread, done)]
    final = _state(_resumed(runner, team, thread), thread)
    done = Counter(item.partition("/")[2] for item in log.read() if item.startswith(thread))
    if final != good:
        tally.other.append(f"{what}: {final:.500}")
    if done != Counter(_STEPS):
        tally.twice.append(f"{what}: {dict(done)}")


def _lies(runner: Runner, thread: str, done: Counter[str]) -> Iterable[str]:
    """Yield what the runner returns of a thread that is not so by the log of effects."""
    try:
        run = runner.status(thread)
    except UnknownThread:
        if done:
            yield f"the run is unknown, and has done {dict(done)}"
        return
    if run.status not in ("completed", "stopped"):
        yield f"the run is {run.status}"
    if run.status == "completed" and done != Counter(_STEPS):
        yield f"the run is completed, and has done {dict(done)}"
    told = {step for result in run.results for step in _STEPS if result.value == step}
    undone = told - done.keys()
    if undone:
        yield f"{undone} have results, and have done nothing"


def _resumed(runner: Runner, team: str, thread: str) -> Run:
    """Resume a run, or run it where it was never accepted."""
    try:
        return runner.resume(thread)
    except UnknownThread:
        return runner.run(team, thread, thread_id=thread)


def _state(run: Run, thread: str) -> str:
    """Return the parts of a run that are the same in each, without the name of its thread."""
    outcome = run.outcome
    results = sorted((item.subtask, item.agent, item.status, repr(item.value)) for item in run.results)
    facts = run.status, outcome and (outcome.status, outcome.value, outcome.gaps), results
    return repr(facts).replace(thread, "thread")


@click.command(help=__doc__)
@database_option
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Let each such call fail.")
def main(database: str, every: int) -> None:
    logging.disable(logging.CRITICAL)
    tallies = {kind: Tally() for kind in KINDS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url, log = stack.enter_context(opened(database, folder)), Effects(folder / "effects")
        graphs = graphs_of(log)
        runner = stack.enter_context(Runner(url, graphs=graphs))
        calls = stack.enter_context(failing_calls(runner.saver.engine))
        for team in graphs:
            runner.run(team, f"first {team}")
            trials = Trials(runner, calls, log, team)
            count, good = calls_of_a_run(trials)
            click.echo(f"{team}: {count} calls a run on {database}")
            for kind, tally in tallies.items():
                for at in range(0, count, every):
                    trial(trials, at, kind, good, tally)
    table = Table("error", "trials", "raised", "untyped", "status false", "another state", "effect twice or lost")
    for kind, one in tallies.items():
        table.add_row(
            kind, *map(str, (one.trials, one.raised, *map(len, (one.untyped, one.lies, one.other, one.twice))))
        )
    Console(width=120).print(table)
    for kind, one in tallies.items():
        for text in (*one.untyped, *one.lies, *one.other, *one.twice):
            click.echo(f"{kind}: {text}")
    sys.exit(any(one.untyped or one.lies or one.other or one.twice for one in tallies.values()))


if __name__ == "__main__":
    main()
