"""The guards of each pattern where none are given, and what the one for levels stops in all of them."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.state import Request
from tests.conformance.patterns import PATTERNS

LIMITS = "Limits(subtasks=1000, messages=None, calls=None, visits=100, on_trip=Finish())"
MESSAGES = "Limits(subtasks=1000, messages=200, calls=None, visits=100, on_trip=Finish())"
DEPTH, CYCLE = "Depth(limit=5, on_trip=Finish())", "Cycle(on_trip=Finish())"
CONVERGENCE = "Convergence(rounds=2, period=4, on_trip=Finish())"
SCHEMA = "Schema(model=None, check=None, compensate=None, on_trip=Retry(times=1))"
DEFAULTS = {
    "supervisor": [DEPTH, CYCLE, CONVERGENCE, LIMITS, SCHEMA],
    "hierarchy": [DEPTH, CYCLE, CONVERGENCE, LIMITS, SCHEMA],
    "pipeline": [DEPTH, SCHEMA],
    "router": [DEPTH, SCHEMA],
    "consensus": [DEPTH, SCHEMA],
    "swarm": [DEPTH, CYCLE, MESSAGES, SCHEMA],
    "auction": [DEPTH, LIMITS, SCHEMA],
    "reactive": [DEPTH, SCHEMA],
}


@pytest.mark.parametrize("pattern", DEFAULTS)
def test_a_pattern_has_these_guards_where_none_are_given(pattern: str) -> None:
    graph: Any = PATTERNS[pattern](Agent("tested", run=lambda request: "said"))

    shown = [repr(guard) for guard in graph.team.guards]
    assert [one for one in shown if not one.startswith("DeclaredEvents")] == DEFAULTS[pattern]


@pytest.mark.parametrize("pattern", sorted(DEFAULTS.keys() - {"hierarchy"}))  # whose workers get the goal of their tier
def test_a_team_that_calls_itself_is_stopped_at_the_fifth_level(pattern: str) -> None:
    graphs, levels = list[Any](), list[int]()

    def again(request: Request) -> str:
        level = int(request.task.goal) + 1
        levels.append(level)
        return str(graphs[0].invoke({"task": str(level)})["outcome"].status)

    graphs.append(PATTERNS[pattern](Agent("tested", run=again)).compile())
    graphs[0].invoke({"task": "0"})

    assert max(levels) == 5
