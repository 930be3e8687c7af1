"""The team as `guardgraph.graphs.supervisor` builds it, with its default guards and accounting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.measuring.fake_model import FakeModel, Line
from bench.teams.planning import PLANS
from bench.teams.team import FOUND, REPORT, TASK, WORKERS, Team
from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import (
    AllowedTools,
    Authority,
    Breaker,
    Budget,
    Confidence,
    Convergence,
    Cycle,
    Deadline,
    Depth,
    Grounding,
    Guard,
    Limits,
    Repetition,
    Schema,
    Trust,
    Velocity,
)

__all__ = ("guarded", "guarded_by_all", "guarded_graph")

_ALL_GUARDS: Sequence[Guard] = (
    Depth(),
    Cycle(),
    Budget(tokens=100_000, calls=1_000),
    Budget(tokens=50_000, per="agent"),
    Budget(tokens=50_000, per="task"),
    Deadline(600),
    Limits(messages=100, calls=1_000),
    Schema(str).only(agents=WORKERS),
    Convergence(),
    Breaker(failures=3),
    Breaker(rate=0.5),
    Grounding({"notes": FOUND}),
    Confidence(),
    Trust(reserved={"payments"}),
    Authority(),
    AllowedTools({"search"}),
    Repetition(),
    Velocity(),
)
_ANSWER = Line(
    tool="Answer_str",
    arguments={"value": FOUND, "evidence": [{"source": "notes", "quote": FOUND}], "confidence": 0.9},
)


def guarded_graph() -> Any:
    """Return the graph: plan, three workers at a time, plan again, write."""
    return _built()[0]


def guarded(name: str) -> Team:
    """Plan, three workers at a time, plan again, write."""
    return _team(name, *_built())


def guarded_by_all(name: str) -> Team:
    """Do the same under every guard that fits, in place of the five default ones; the workers answer with quotes."""
    return _team(name, *_built(_ANSWER, _ALL_GUARDS))


def _team(name: str, graph: Any, models: Sequence[FakeModel]) -> Team:
    team = graph.compile()

    def run() -> str:
        return team.invoke({"task": TASK})["outcome"].value

    return Team(name, run, models, calls=6)


def _built(answer: Line | None = None, guards: Sequence[Guard] | None = None) -> tuple[Any, list[FakeModel]]:
    planner, writer = FakeModel(lines=PLANS), FakeModel(lines=[Line(REPORT)])
    workers = {worker: FakeModel(lines=[answer or Line(FOUND)]) for worker in WORKERS}
    graph: Any = supervisor(
        planner=Agent("planner", model=planner),
        workers=[Agent(worker, model=model, skills={worker}) for worker, model in workers.items()],
        synthesizer=Agent("writer", model=writer),
        guards=guards,
    )
    return graph, [planner, writer, *workers.values()]
