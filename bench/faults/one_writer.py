"""How often two processes work on one thread: `python -m bench.faults.one_writer --processes 32 --trials 1000`.

In each trial all processes run, resume or update one thread at the same moment. Each agent notes what it does in a
file, which is compared with what the database tells.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from uuid import uuid4

import click

from bench.faults.databases import database_option, opened
from bench.faults.team import Effects, build
from bench.faults.worker import Worker
from guardgraph.runs import Runner

__all__ = ("ACTIONS", "Tally", "trial")

Action = Literal["run", "resume", "update"]
ACTIONS: tuple[Action, ...] = ("run", "resume", "update")
_REFUSED = {"ThreadBusy", "RunUnfinished", "RunEnded", "StaleWriter"}
"""What may become of who comes too late; all but the first is for who comes after the winner has finished."""


@dataclass(slots=True)
class Tally:
    """What was counted over some trials."""

    trials: int = 0
    doubles: int = 0
    """Agents that did more than they should have."""
    lost: int = 0
    """Trials after which the answer or update of no winner is in the state; of several updates the last one stays."""
    forks: int = 0
    """Checkpoints with several successors."""
    faults: list[str] = field(default_factory=list[str])
    """Any other error."""
    results: Counter[str] = field(default_factory=Counter[str])
    refusals: list[float] = field(default_factory=list[float])
    """Seconds until `ThreadBusy`."""


def trial(action: Action, runner: Runner, effects: Effects, workers: Sequence[Worker], tally: Tally) -> None:
    """Let all workers do the same to a thread at once, and count what became of it."""
    thread = uuid4().hex
    facts: dict[str, Any] = {"steps": 3, "asks": 1}
    if action != "run":
        waiting = runner.run("steps", thread, thread_id=thread, arguments=facts).waiting[0].id
        facts = {"answers": {waiting: "yes"}}
    before = Counter(effects.read())
    at = time.time() + 0.05
    for number, worker in enumerate(workers):
        item = {"context": [{"kind": "background", "title": str(number)}]} if action == "update" else facts
        worker.begin(action, thread, item, at=at)
    answers = [worker.result() for worker in workers]
    done = Counter(effects.read()) - before
    winners = {str(number) for number, answer in enumerate(answers) if answer["result"] not in _REFUSED}
    tally.trials += 1
    tally.results.update(answer["result"] for answer in answers)
    tally.refusals += [answer["seconds"] for answer in answers if answer["result"] == "ThreadBusy"]
    tally.faults += [one["result"] for one in answers if one["result"] not in {*_REFUSED, "waiting", "completed"}]
    expected = len(winners) if action == "update" else 1
    tally.doubles += sum(max(count - expected, 0) for count in done.values())
    history = [*runner.saver.list({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})]
    if action == "update":
        last = {item.title for item in runner.status(thread).state.get("context") or ()}
        tally.lost += not (last and last <= winners)
    else:
        tally.lost += not done
    parents = Counter(
        item.parent_config.get("configurable", {})["checkpoint_id"]
        for item in history
        if item.parent_config is not None
    )
    tally.forks += sum(count > 1 for count in parents.values())


@click.command(help=__doc__)
@click.option("--processes", type=click.IntRange(min=2), default=8, show_default=True)
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True)
@database_option
def main(processes: int, trials: int, database: str) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        url, log = stack.enter_context(opened(database, folder)), folder / "effects"
        runner, effects = stack.enter_context(Runner(url, graphs={"steps": build(log)})), Effects(log)
        runner.list_runs(1)
        workers = [stack.enter_context(Worker(url, log)) for _ in range(processes)]
        tally = Tally()
        for number in range(trials):
            effects.file.write_text("")
            trial(ACTIONS[number % len(ACTIONS)], runner, effects, workers, tally)
    times = sorted(tally.refusals) or [0.0]
    click.echo(f"{processes} processes, {tally.trials} trials on {database}: {dict(tally.results)}")
    click.echo(f"double executions {tally.doubles}, lost {tally.lost}, forks {tally.forks}, errors {tally.faults}")
    milliseconds = ", ".join(f"{times[int((len(times) - 1) * part)] * 1000:.0f}" for part in (0.5, 0.99, 1))
    click.echo(f"ThreadBusy after ms (median, 99 %, longest): {milliseconds}")


if __name__ == "__main__":
    main()
