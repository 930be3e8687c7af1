"""The team as `guardgraph.graphs.supervisor` builds it, with its default guards and accounting."""

from __future__ import annotations

from typing import Any

from bench.measuring.fake_model import FakeModel, Line
from bench.teams.planning import PLANS
from bench.teams.team import FOUND, REPORT, TASK, WORKERS, Team
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor

__all__ = ("guarded", "guarded_graph")


def guarded_graph() -> Any:
    """Return the graph: plan, three workers at a time, plan again, write."""
    return _built()[0]


def guarded(name: str) -> Team:
    """Plan, three workers at a time, plan again, write."""
    graph, models = _built()
    team = graph.compile()

    def run() -> str:
        return team.invoke({"task": TASK})["outcome"].value

    return Team(name, run, models, calls=6)


def _built() -> tuple[Any, list[FakeModel]]:
    planner, writer = FakeModel(lines=PLANS), FakeModel(lines=[Line(REPORT)])
    workers = {worker: FakeModel(lines=[Line(FOUND)]) for worker in WORKERS}
    graph: Any = supervisor(
        planner=Agent("planner", model=planner),
        workers=[Agent(worker, model=model, skills={worker}) for worker, model in workers.items()],
        synthesizer=Agent("writer", model=writer),
    )
    return graph, [planner, writer, *workers.values()]
