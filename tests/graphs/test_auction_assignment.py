"""The whole graph awards an instance of the generalized assignment problem as the award rule does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.auction import with_a_killed_agent
from bench.teams.assignment import Assignment, as_auction, awarded, bounds_in, figures_of, instances_in
from guardgraph.nodes.decisions.award import AwardRule
from tests.public_data import public_data

SMALL = Assignment(
    "small",
    costs=[[6, 9, 4, 2, 7, 8], [8, 3, 5, 7, 2, 4], [5, 6, 9, 3, 8, 6]],
    loads=[[3, 2, 3, 2, 4, 3], [2, 4, 3, 3, 2, 4], [4, 3, 2, 4, 3, 2]],
    capacities=[6, 6, 6],
)


@pytest.mark.parametrize("sense", [-1, 1])
@pytest.mark.parametrize("rule", ["greedy", "regret"])
def test_a_small_instance_is_awarded_within_capacity_by_agents_too(rule: AwardRule, sense: int) -> None:
    outcome = as_auction(SMALL, rule, sense=sense).compile().invoke({"task": "all jobs"})["outcome"]
    found = figures_of(SMALL, {one["subtask"]: one["agent"] for one in outcome.value})

    assert found == awarded(SMALL, rule, sense=sense)
    assert found.violations == 0
    assert len(outcome.gaps) == found.open_jobs
    assert {gap.reason for gap in outcome.gaps} <= {"no bidder has enough capacity left for it"}


@pytest.mark.parametrize("rule", ["greedy", "regret"])
def test_the_public_instances_are_awarded_near_their_bounds_and_within_capacity(rule: AwardRule) -> None:
    folder = public_data("gap")
    bounds = bounds_in(folder)
    for instance in instances_in(folder):
        found = awarded(instance, rule, sense=-1, weight=1)
        assert found.violations == 0
        assert found.open_jobs <= 0.08 * instance.jobs
        if not found.open_jobs:
            lower, _ = bounds[f"{instance.name}_Min"]
            assert lower <= found.value <= 1.25 * lower


@pytest.mark.parametrize("rule", ["greedy", "regret"])
def test_an_agent_whose_process_is_killed_costs_only_its_own_jobs(rule: AwardRule) -> None:
    found = with_a_killed_agent(replace(SMALL, capacities=[9, 30, 30]), rule, jobs=1)

    assert (found["status"], found["open"], found["gaps"], found["violations"]) == ("completed", 0, 0, 0)
    assert (found["done by it"], found["others' jobs not done as awarded"]) == (1, 0)
    assert found["done by others"] == found["of the killed"] - 1 > 0
