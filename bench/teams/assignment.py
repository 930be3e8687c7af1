"""Instances of the generalized assignment problem as auctions: agents are bidders, jobs are lots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from guardgraph.agents import Agent, Bid, Bidder
from guardgraph.graphs import auction
from guardgraph.nodes.decisions.award import AWARDS, AwardRule, Offer
from guardgraph.state import Plan, Subtask

__all__ = ("Assignment", "Figures", "as_auction", "awarded", "bounds_in", "figures_of", "instances_in")


@dataclass(frozen=True, slots=True)
class Assignment:
    """An instance: what each job costs with each agent, and how much of the agent's capacity it takes."""

    name: str
    costs: Sequence[Sequence[int]]
    """By agent and job."""
    loads: Sequence[Sequence[int]]
    capacities: Sequence[int]

    @property
    def jobs(self) -> int:
        """The number of jobs."""
        return len(self.costs[0])


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of one award."""

    value: int
    """The costs of all jobs that were awarded."""
    open_jobs: int
    """How many were not."""
    violations: int
    """How many agents were awarded more than their capacity."""


def instances_in(folder: Path) -> list[Assignment]:
    """Return the instances of a folder of `.gap` files, as the OR-Library has them."""
    return [_read(path) for path in sorted(folder.glob("*.gap"))]


def bounds_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the lower and the upper bound of each optimum, as `c0515_1_Min`."""
    rows = (line.split() for line in (folder / "bounds.txt").read_text(encoding="utf-8").splitlines() if line.strip())
    return {name: (int(lower), int(upper)) for name, lower, upper in rows}


def awarded(instance: Assignment, rule: AwardRule, *, sense: int, weight: float = 0) -> Figures:
    """Return what the rule awards; `sense` is -1 where costs are to be small, 1 where they are profits.

    The score is the cost (or profit) alone, or less the load of the bid times `weight`.
    """
    offers = [
        Offer(f"j{job}", f"a{agent}", sense * costs[job] - weight * loads[job], float(loads[job]))
        for job in range(instance.jobs)
        for agent, (costs, loads) in enumerate(zip(instance.costs, instance.loads, strict=True))
    ]
    capacity = {f"a{agent}": Decimal(limit) for agent, limit in enumerate(instance.capacities)}
    won = AWARDS[rule](offers, capacity, {})
    return figures_of(instance, {one.lot: one.bidder for one in won})


def figures_of(instance: Assignment, winners: Mapping[str, str]) -> Figures:
    """Return what an award of jobs to agents has come to, by their names."""
    value, taken = 0, defaultdict[int, int](int)
    for job, agent in ((int(lot[1:]), int(bidder[1:])) for lot, bidder in winners.items()):
        value += instance.costs[agent][job]
        taken[agent] += instance.loads[agent][job]
    violations = sum(taken[agent] > limit for agent, limit in enumerate(instance.capacities))
    return Figures(value, instance.jobs - len(winners), violations)


def as_auction(
    instance: Assignment,
    rule: AwardRule,
    *,
    sense: int,
    weight: float = 0,
    work: Callable[[str, str], str] = lambda agent, job: "done",
) -> Any:
    """Return the whole graph of an instance: a plan of all jobs, and a bidder for each agent that bids its costs.

    `work` does a job as an agent: it is given their names.
    """
    plan = Plan(subtasks=tuple(Subtask(id=f"j{job}", goal=f"do job {job}") for job in range(instance.jobs)))

    def bidder(agent: int) -> Bidder:
        def bid(lots: Sequence[Subtask]) -> list[Bid]:
            jobs = [int(lot.id[1:]) for lot in lots]
            loads, costs = instance.loads[agent], instance.costs[agent]
            return [Bid(subtask=f"j{job}", cost=costs[job], load=loads[job]) for job in jobs]

        name = f"a{agent}"
        worker = Agent(name, run=lambda request: work(name, request.subtask.id if request.subtask else ""))
        return Bidder(worker, bid=bid, capacity=instance.capacities[agent])

    bidders = [bidder(agent) for agent in range(len(instance.costs))]
    return auction(
        bidders,
        planner=Agent("planner", run=lambda request: plan),
        award=rule,
        score=lambda bid, _: sense * bid.cost - weight * bid.load,
    )


def _read(path: Path) -> Assignment:
    numbers = [int(text) for text in path.read_text(encoding="utf-8").split()]
    agents, jobs = numbers[:2]
    rows = [numbers[2 + start : 2 + start + jobs] for start in range(0, 2 * agents * jobs, jobs)]
    return Assignment(path.stem, rows[:agents], rows[agents:], numbers[2 + 2 * agents * jobs :][:agents])
