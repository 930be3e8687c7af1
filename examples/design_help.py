"""Look at a design before anything runs: what is wrong with it, and what a run would take.

Run it with `python examples/design_help.py`; the same from a shell: `guardgraph graph lint examples.design_help:team`
and `guardgraph graph estimate examples.design_help:team --model openai:gpt-5-mini`.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import Assumptions, Load, estimate, lint, pipeline, supervisor
from guardgraph.guards import Convergence, Deadline


def team() -> StateGraph[Any, Any, Any, Any]:
    """Return a supervisor with twelve workers, one of which is a pipeline of two agents that could be one."""
    model = "offline:extractive"
    report = pipeline([Agent("draft", model=model), Agent("polish", model=model)], name="report")
    workers = [Agent(f"searcher-{number}", model=model, attempts=2) for number in range(1, 12)]
    return supervisor(
        planner=Agent("planner", model=model),
        workers=[*workers, Agent("reporter", run=report.compile())],
        guards=[Convergence(rounds=2), Deadline(300)],
    )


def main() -> None:
    """Print the findings, then the estimate with its assumptions."""
    for finding in lint(team()):
        print(f"{finding.severity}: {', '.join(finding.nodes)}: {finding.message}")
    found = estimate(team(), Assumptions(subtasks=6, model="openai:gpt-5-mini"))
    for part in fields(Load):
        print(f"{part.name}: {getattr(found.expected, part.name)} expected, {getattr(found.worst, part.name)} at worst")
    for line in found.assumptions:
        print("assumed:", line)


if __name__ == "__main__":
    main()
