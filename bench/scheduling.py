"""Makespan of dependent subtasks under a cap, on a virtual clock: `python -m bench.scheduling`.

A supervisor carries out plans with dependencies: four recorded workflows of WfInstances, and 100 generated ones (seeds
0 to 99). Its workers return at once and record in which superstep they begin, and in which order; the makespan is that
of these beginnings, where each subtask lasts as long as in the workflow and a superstep ends with its last one. Beside
it are greedy list scheduling (Graham 1969) in the order of the plan with the same barrier after each superstep, and
without any barrier.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from heapq import heapify, heapreplace
from itertools import groupby
from pathlib import Path
from random import Random
from statistics import median
from threading import Lock
from typing import Any, NamedTuple

import click
from langgraph.config import get_config
from rich.console import Console
from rich.table import Table

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Limits
from guardgraph.state import Plan, Request, Subtask

_ROOT = Path(__file__).parent.parent
_GENERATED = 100


class Workflow(NamedTuple):
    """Tasks in a topological order, with what each needs and how long it lasts."""

    name: str
    needs: Mapping[str, Sequence[str]]
    seconds: Mapping[str, float]


def recorded(folder: Path) -> list[Workflow]:
    """Return the workflows of a folder with files of WfFormat 1.5."""
    found = list[Workflow]()
    for file in sorted(folder.glob("*.json")):
        given = json.loads(file.read_text(encoding="utf-8"))["workflow"]
        needs = {task["id"]: sorted(task["parents"]) for task in given["specification"]["tasks"]}
        seconds = {task["id"]: float(task["runtimeInSeconds"]) for task in given["execution"]["tasks"]}
        order = list(TopologicalSorter(needs).static_order())
        found.append(Workflow(file.stem, {name: needs[name] for name in order}, seconds))
    return found


def generated(seed: int) -> Workflow:
    """Return a random workflow: 10 to 60 tasks, up to three needs each, lengths of a log-normal distribution."""
    random = Random(seed)
    names = [f"t{number}" for number in range(random.randint(10, 60))]
    needs = {
        name: sorted(random.sample(names[:number], random.randint(0, min(3, number))))
        for number, name in enumerate(names)
    }
    return Workflow(f"seed {seed}", needs, {name: random.lognormvariate(0, 1) for name in names})


def begun(workflow: Workflow, cap: int) -> list[list[str]]:
    """Run a workflow by a supervisor; return which tasks begin in each superstep, in their order."""
    ids = {name: f"s{number}" for number, name in enumerate(workflow.needs)}
    names = {id_: name for name, id_ in ids.items()}
    plan = tuple(
        Subtask(id=ids[name], goal=f"do {name}", depends_on=tuple(ids[need] for need in needs))
        for name, needs in workflow.needs.items()
    )
    started, lock = list[tuple[int, str]](), Lock()

    def work(request: Request) -> str:
        with lock:
            started.append((get_config()["metadata"]["langgraph_step"], names[request.subtask.id]))  # type: ignore[union-attr,index]
        return "done"

    team: Any = supervisor(
        planner=Agent("planner", run=lambda request: Plan(subtasks=plan if request.round == 1 else ())),
        workers=[Agent("worker", run=work)],
        guards=[Limits(subtasks=None, visits=10_000)],
        concurrency=cap,
    ).compile()
    outcome = team.invoke({"task": "work"})["outcome"]
    if outcome.status != "completed" or len(started) != len(plan):
        raise RuntimeError(f"{workflow.name} ended {outcome.status} with {len(started)} of {len(plan)} tasks")
    return [[name for _, name in group] for _, group in groupby(started, key=lambda one: one[0])]


def makespan_of(steps: Sequence[Sequence[str]], seconds: Mapping[str, float], cap: int) -> float:
    """Return how long supersteps last, each of which ends with its last task; `cap` tasks run at a time."""
    return sum(_of_one_step([seconds[name] for name in step], cap) for step in steps)


def with_barrier(workflow: Workflow, cap: int) -> float:
    """Return the makespan of greedy list scheduling that starts what is ready once all that has started is done."""
    done, steps, left = set[str](), list[list[str]](), list(workflow.needs)
    while left:
        steps.append([name for name in left if done.issuperset(workflow.needs[name])])
        done.update(steps[-1])
        left = [name for name in left if name not in done]
    return makespan_of(steps, workflow.seconds, cap)


def without_barrier(workflow: Workflow, cap: int) -> float:
    """Return the makespan of greedy list scheduling: whenever a slot is free, the first task that is ready starts."""
    ends, left, now = dict[str, float](), list(workflow.needs), 0.0
    while left:
        running = sum(end > now for end in ends.values())
        ready = [n for n in left if all(ends.get(need, now + 1) <= now for need in workflow.needs[n])]
        for name in ready[: cap - running]:
            ends[name] = now + workflow.seconds[name]
            left.remove(name)
        now = min((end for end in ends.values() if end > now), default=now)
    return max(ends.values(), default=0.0)


def _of_one_step(lengths: Sequence[float], cap: int) -> float:
    free = [0.0] * cap
    heapify(free)
    for length in lengths:
        heapreplace(free, free[0] + length)
    return max(free)


@click.command(help=__doc__)
@click.option("--cap", type=click.IntRange(min=1), default=4, show_default=True, help="Agents at a time.")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="The folder of WfInstances.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(cap: int, data: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    folder = data or Path(os.environ.get("GUARDGRAPH_DATA") or _ROOT.parent / "shared" / "data") / "wfinstances"
    groups = {one.name: [one] for one in recorded(folder)}
    groups[f"{_GENERATED} generated"] = [generated(seed) for seed in range(_GENERATED)]
    rows = list[dict[str, Any]]()
    for name, workflows in groups.items():
        ours = [makespan_of(begun(one, cap), one.seconds, cap) for one in workflows]
        barrier = [mine / with_barrier(one, cap) for mine, one in zip(ours, workflows, strict=True)]
        free = [mine / without_barrier(one, cap) for mine, one in zip(ours, workflows, strict=True)]
        tasks = sum(len(one.needs) for one in workflows)
        rows.append(
            {"workflow": name, "tasks": tasks, "barrier": median(barrier), "most": max(barrier), "free": median(free)}
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("workflow", "tasks", "to the same barrier", "at most", "to no barrier", title="Makespan, as a ratio")
    for row in rows:
        table.add_row(row["workflow"], f"{row['tasks']}", *(f"{row[key]:.2f}" for key in ("barrier", "most", "free")))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
