"""How good awards are on the generalized assignment problem: `python -m bench.auction`.

Every instance of the OR-Library that is there is awarded by both rules, once to keep costs small and once to make
profits large, by a score of the cost alone and by one that also counts the load. Values are shown as a ratio to the
best known bound of the optimum. A job for which no capacity is left brings no profit; costs are compared only where all
jobs are awarded. Then some instances go through the whole graph, with agents that bid and work, which has to award as
the rules do. At last one of the agents works in a process of its own, which is killed in the middle of its jobs: what
the others were awarded may not change, and its remaining jobs are awarded again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from bench.measuring.data import public_data
from bench.measuring.peers import Missing
from bench.teams.assignment import Assignment, as_auction, awarded, bounds_in, figures_of, instances_in
from bench.teams.killed_worker import killed_worker
from guardgraph.nodes.decisions.award import AWARDS, AwardRule

_SENSES: Mapping[str, int] = {"Min": -1, "Max": 1}
_SCORES: Mapping[str, float] = {"cost": 0, "cost and load": 1}
_IN_THE_GRAPH = ("c0515_1", "c0848_1", "a05100", "b10200")
_Row = dict[str, Any]


def measured(instances: Iterable[Assignment], bounds: Mapping[str, tuple[int, int]]) -> list[_Row]:
    """Return a row for each instance, sense, score and rule."""
    return [
        _row(instance, bounds[f"{instance.name}_{sense}"], sense, score, rule)
        for instance in instances
        for sense in _SENSES
        for score in _SCORES
        for rule in AWARDS
    ]


def _row(instance: Assignment, bounds: tuple[int, int], sense: str, score: str, rule: AwardRule) -> _Row:
    begun = time.perf_counter()
    found = awarded(instance, rule, sense=_SENSES[sense], weight=_SCORES[score])
    took = (time.perf_counter() - begun) * 1000
    is_comparable = sense == "Max" or not found.open_jobs
    return {
        "instance": instance.name, "kind": instance.name[0], "sense": sense, "score": score, "rule": rule,
        "value": found.value, "ratio": found.value / bounds[sense == "Max"] if is_comparable else None,
        "jobs": instance.jobs, "open": found.open_jobs, "violations": found.violations, "ms": took,
    }  # fmt: skip


def through_the_graph(instance: Assignment, rule: AwardRule) -> _Row:
    """Return what the whole graph awards, how long it takes, and whether the rule alone awards the same value."""
    graph = as_auction(instance, rule, sense=-1, weight=1).compile()
    begun = time.perf_counter()
    outcome = graph.invoke({"task": "Do all jobs"}, {"recursion_limit": 200})["outcome"]
    took = time.perf_counter() - begun
    winners = {one["subtask"]: one["agent"] for one in outcome.value or ()}
    found, alone = figures_of(instance, winners), awarded(instance, rule, sense=-1, weight=1)
    return {
        "instance": instance.name, "rule": rule, "value": found.value, "open": found.open_jobs,
        "violations": found.violations, "seconds": took, "as the rule": found.value == alone.value,
    }  # fmt: skip


def with_a_killed_agent(instance: Assignment, rule: AwardRule, *, killed: str = "a0", jobs: int = 2) -> _Row:
    """Return what comes of an instance where the process of an agent does some jobs, and is killed in the next one."""
    with killed_worker(killed, jobs=jobs) as agent:
        graph = as_auction(instance, rule, sense=-1, weight=1, work=agent.work).compile()
        *_, state = graph.stream({"task": "Do all jobs"}, {"recursion_limit": 200}, stream_mode="values")
    winners = {one["subtask"]: one["agent"] for one in state["outcome"].value or ()}
    first = dict[str, str]()
    for message in state["log"]:
        for one in message.content["awards"] if message.performative == "award" else ():
            first.setdefault(one["subtask"], message.recipients[0])
    own = [job for job, winner in first.items() if winner == killed]
    others = {job: winner for job, winner in first.items() if winner != killed}
    return {
        "instance": instance.name, "rule": rule, "status": state["outcome"].status, "jobs": instance.jobs,
        "of the killed": len(own), "done by it": sum(winners.get(job) == killed for job in own),
        "done by others": sum(winners.get(job, killed) != killed for job in own),
        "open": instance.jobs - len(winners), "gaps": len(state["outcome"].gaps),
        "others' jobs not done as awarded": sum(winners.get(job) != winner for job, winner in others.items()),
        "violations": figures_of(instance, winners).violations,
    }  # fmt: skip


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def main(as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    try:
        folder = public_data("gap")
    except Missing as reason:
        click.echo(f"left out: {reason}")
        return
    instances, bounds = instances_in(folder), bounds_in(folder)
    rows = measured(instances, bounds)
    chosen = [one for one in instances if one.name in _IN_THE_GRAPH]
    graphs = [through_the_graph(one, rule) for one in chosen for rule in AWARDS]
    killed = [with_a_killed_agent(one, rule) for one in chosen for rule in AWARDS]
    if as_json:
        click.echo(json.dumps({"awards": rows, "graphs": graphs, "killed": killed}, indent=2))
        return
    console = Console(width=140, highlight=False)
    console.print(_summary(rows))
    table = Table("whole graph", "rule", "value", "open", "violations", "seconds", "as the rule", box=box.MARKDOWN)
    for one in graphs:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in one.values()))
    console.print(table)
    table = Table(*killed[0], title="an agent is killed in the middle of its jobs", box=box.MARKDOWN)
    for one in killed:
        table.add_row(*map(str, one.values()))
    console.print(table)


def _summary(rows: Sequence[_Row]) -> Table:
    table = Table(
        "kind", "sense", "score", "rule", "value / bound", "worst", "complete", "open jobs", "violations", "slowest ms",
        title="value by the best known bound", box=box.MARKDOWN,
    )  # fmt: skip
    groups: dict[tuple[str, ...], list[_Row]] = {}
    for one in rows:
        groups.setdefault((one["kind"], one["sense"], one["score"], one["rule"]), []).append(one)
    for key, mine in groups.items():
        ratios = [one["ratio"] for one in mine if one["ratio"] is not None]
        worst = (max if key[1] == "Min" else min)(ratios, default=0.0)
        complete = sum(not one["open"] for one in mine)
        table.add_row(
            *key, f"{fmean(ratios):.3f}" if ratios else "-", f"{worst:.3f}" if ratios else "-",
            f"{complete} of {len(mine)}", f"{sum(one['open'] for one in mine)} of {sum(one['jobs'] for one in mine)}",
            str(sum(one["violations"] for one in mine)), f"{max(one['ms'] for one in mine):.0f}",
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
