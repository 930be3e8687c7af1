"""One run of 10,000 subtasks through the `Runner`, on SQLite at `synchronous=FULL`: `python -m bench.many_subtasks`.

The planner plans all at once, and each worker is a function that returns at once. There is no peer: the same plan by
hand on LangGraph would be one superstep without a guard. The goal is 40 seconds.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bench.measuring.contest import Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Limits
from guardgraph.runs import Runner
from guardgraph.state import Plan, Request, Subtask


@click.command(help=__doc__)
@click.option("--subtasks", type=click.IntRange(min=1), default=10_000, show_default=True)
@common_options(rounds=1)
def main(subtasks: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    contestant = Contestant("Runner, SQLite FULL", lambda: _measured(subtasks))
    figures = compete([contestant], rounds=rounds)
    show([Report(f"A run of {subtasks} subtasks", figures, [], [])], versions=("guardgraph",), as_json=as_json)


def _measured(subtasks: int) -> Mapping[str, float]:
    with TemporaryDirectory() as folder, Runner(f"sqlite:///{Path(folder) / 'runs.db'}", graphs={"team": _team}) as one:
        begun, cpu = time.perf_counter(), time.process_time()
        run = one.run("team", str(subtasks))
        figures = {"s": time.perf_counter() - begun, "CPU s": time.process_time() - cpu}
    if run.status != "completed" or len(run.results) < subtasks:
        raise RuntimeError(f"the run is {run.status} with {len(run.results)} results")
    return {**figures, "MB at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def _team() -> Any:
    def plan(request: Request) -> Plan:
        count = int(request.task.goal) if request.round == 1 else 0
        return Plan(subtasks=tuple(Subtask(id=f"s{number}", goal=f"goal {number}") for number in range(count)))

    return supervisor(
        planner=Agent("planner", run=plan),
        workers=[Agent("worker", run=lambda request: request.goal)],
        guards=[Limits(subtasks=None)],
    )


if __name__ == "__main__":
    main()
