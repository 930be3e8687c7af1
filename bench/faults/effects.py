"""Side effects under `kill -9`: `python -m bench.faults.effects --trials 1000`.

An agent of a run makes ten effects, each of which adds a line to a file. Its process is killed at a random moment of a
random effect, one to three times, and the run is resumed in a new process; then each key is counted in the file.
With `--unguarded` the effects are made without keys, so that their repetition can be seen.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, TextIO
from uuid import uuid4

import click

from bench.faults.databases import database_option, opened
from bench.faults.forked import Forked, end_in
from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner, effects
from guardgraph.state import EffectUnknown, Request, UnknownThread

_EFFECTS = 10


@dataclass
class Report:
    """What was counted over all trials; the last four are to be zero."""

    trials: int = 0
    kills: int = 0
    effects: int = 0
    unknown: int = 0
    """Reported as `EffectUnknown`."""
    unknown_done: int = 0
    """Those among them that are in the file."""
    repeated: int = 0
    """In the file more than once."""
    lost: int = 0
    """Reported as done, and not in the file."""
    unreported: int = 0
    """Neither reported as done nor as unknown."""
    unfinished: int = 0
    """Trials whose run did not end by a resume that nobody killed."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The moment of a kill."""

    effect: int
    """The effect before which the clock is started."""
    seconds: float
    """What it then takes."""


def work_in(sink: Path, lines: TextIO, kill: Kill | None, *, guarded: bool) -> Callable[[Request], Any]:
    """Return an agent that makes the effects of a run, and says which are done."""

    def work(request: Request) -> dict[str, list[str]]:
        print("begun", file=lines)
        said: dict[str, list[str]] = {"done": [], "unknown": []}
        for number in range(_EFFECTS):
            if kill is not None and kill.effect == number:
                end_in(kill.seconds)
            key = f"{request.goal}/{number}"
            try:
                effects.once(key, lambda key=key: append(sink, key)) if guarded else append(sink, key)
                said["done"].append(key)
            except EffectUnknown:
                said["unknown"].append(key)
        return said

    return work


def append(sink: Path, key: str) -> None:
    """Add a line to the file, and take a moment before and after."""
    time.sleep(0.001)
    with sink.open("a", encoding="utf-8") as file:
        file.write(f"{key}\n")
    time.sleep(0.001)


def attempt(url: str, thread: str, answer: Path, work: Callable[[Request], Any]) -> None:
    """Run or resume the thread in this process, and write what its agent said."""
    graphs = {"effects": lambda: pipeline([Agent("worker", run=work)])}
    with Runner(url, graphs=graphs, lease_seconds=0.5, if_busy="wait") as runner:  # a killed process holds its lease on
        try:
            run = runner.resume(thread)
        except UnknownThread:
            run = runner.run("effects", thread, thread_id=thread)
    answer.write_text(json.dumps(run.outcome and run.outcome.value), encoding="utf-8")


def trial(url: str, folder: Path, thread: str, kills: list[Kill], report: Report, *, guarded: bool) -> float:
    """Kill one run at these moments, let it end, and count; return how long the last process made effects."""
    sink, answer = folder / f"{thread}.sink", folder / f"{thread}.answer"
    took = 0.0
    for kill in (*kills, None):

        def work(lines: TextIO, kill: Kill | None = kill) -> None:
            attempt(url, thread, answer, work_in(sink, lines, kill, guarded=guarded))

        with Forked(work) as child:
            next(iter(child), None)
            began = time.monotonic()
            report.kills += child.killed()
            took = time.monotonic() - began
    there = Counter(sink.read_text(encoding="utf-8").split() if sink.exists() else ())
    said = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else None
    report.trials += 1
    report.effects += _EFFECTS
    report.repeated += sum(count > 1 for count in there.values())
    if said is None:
        report.unfinished += 1
        return took
    report.unknown += len(said["unknown"])
    report.unknown_done += sum(there[key] for key in said["unknown"])
    report.lost += sum(there[key] == 0 for key in said["done"])
    report.unreported += _EFFECTS - len({*said["done"], *said["unknown"]})
    return took


@click.command()
@click.option("--trials", default=100, show_default=True, help="Runs to kill.")
@click.option("--url", default="", help="A database; a new one by default.")
@click.option("--seed", default=0, show_default=True, help="Of the moments of the kills.")
@click.option("--unguarded", is_flag=True, help="Make the effects without keys.")
@database_option
def main(trials: int, url: str, seed: int, database: str, *, unguarded: bool) -> None:
    """Count what is repeated or lost."""
    random, report = Random(seed), Report()
    with tempfile.TemporaryDirectory() as name, opened(database, Path(name)) as new:
        folder, place = Path(name), url or new
        threads = [uuid4().hex for _ in range(trials + 1)]
        first = trial(place, folder, threads[0], [], Report(), guarded=not unguarded)
        for thread in threads[1:]:
            kills = [
                Kill(random.randrange(_EFFECTS), random.uniform(0, first / _EFFECTS))
                for _ in range(random.randint(1, 3))
            ]
            trial(place, folder, thread, kills, report, guarded=not unguarded)
    click.echo(json.dumps(asdict(report)))
    sys.exit(1 if report.repeated + report.lost + report.unreported + report.unfinished else 0)


if __name__ == "__main__":
    main()
