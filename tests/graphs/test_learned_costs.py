"""What an agent costs is learned for it alone, also beside others of its name."""

from __future__ import annotations

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Budget
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.services import Services
from tests.graphs.teams import WAYS, plan_of, speaker, team


@pytest.mark.parametrize("way", WAYS)
def test_agents_of_one_name_in_different_teams_share_no_costs_and_every_run_goes_on_learning(way: str) -> None:
    dear = team(plan_of("x"), workers=[speaker("worker", read=800, written=200)], name="team").compile()
    cheap = team(plan_of("x", "y"), workers=[speaker("worker", read=8, written=2)], name="team").compile()
    workers = [Agent("dear", run=dear), Agent("cheap", run=cheap), speaker("worker", read=80, written=20)]
    guards = [Budget(tokens=100_000)]
    graph = team(plan_of("a", "b", "c"), plan_of("d", "e", "f"), workers=workers, guards=guards, name="top").compile()
    services = Services()

    for _ in range(2):
        WAYS[way](graph, "the task", {"configurable": {KEY: ExecutionContext(services)}})

    learned = {
        role: services.costs.expected(role) for role in ("top/worker", "top/dear/team/worker", "top/cheap/team/worker")
    }
    assert {role: cost.tokens if cost else None for role, cost in learned.items()} == {
        "top/worker": 100,
        "top/dear/team/worker": 1_000,
        "top/cheap/team/worker": 10,
    }
