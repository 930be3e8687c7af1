"""The team as `guardgraph.graphs.supervisor` builds it, with its default guards and accounting."""

from __future__ import annotations

from typing import Any

from bench.measuring.fake_model import FakeModel, Line
from bench.teams.planning import PLANS
from bench.teams.team import FOUND, REPORT, TASK, WORKERS, Team
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor

__all__ = ("guarded",)


def guarded(name: str) -> Team:
    """Plan, three workers at a time, plan again, write."""
    planner, writer = FakeModel(lines=PLANS), FakeModel(lines=[Line(REPORT)])
    workers = {worker: FakeModel(lines=[Line(FOUND)]) for worker in WORKERS}
    team: Any = supervisor(
        planner=Agent("planner", model=planner),
        workers=[Agent(worker, model=model, skills={worker}) for worker, model in workers.items()],
        synthesizer=Agent("writer", model=writer),
    ).compile()

    def run() -> str:
        return team.invoke({"task": TASK})["outcome"].value

    return Team(name, run, [planner, writer, *workers.values()], calls=6)
