"""An incident review with three tiers: a chief, two leads, and a tier below one of them, in which one check fails.

Run it with `python examples/hierarchy.py`.
"""

from __future__ import annotations

from typing import Any

from guardgraph.agents import Agent
from guardgraph.graphs import Tier, hierarchy
from guardgraph.guards import Convergence, Deadline, Depth
from guardgraph.state import Plan, Request, Subtask

FINDINGS = {
    "logs": "requests to the payment service time out from 09:12 on",
    "metrics": "the queue of the payment service grows from 09:10 on",
    "deploys": "payment service 4.2 was rolled out at 09:08",
}


def lead(name: str, *skills: str) -> Agent:
    """Return a lead that asks each of its members once."""

    def plan(request: Request) -> Plan:
        if request.round > 1:
            return Plan()
        return Plan(
            subtasks=tuple(Subtask(id=skill, goal=f"What do the {skill} show?", skill=skill) for skill in skills)
        )

    return Agent(name, run=plan)


def look(skill: str) -> Agent:
    """Return a worker that looks at one source, where there is one."""
    return Agent(f"{skill} reader", run=lambda request: FINDINGS[skill], skills={skill})


def collect(request: Request) -> list[Any]:
    """Join the findings of a tier."""
    values = (item.value for item in request.results)
    return [finding for value in values for finding in (value if isinstance(value, list) else [value])]


def main() -> None:
    """Review one incident and print what is known and what is missing."""
    telemetry = Tier(
        lead("telemetry", "logs", "metrics", "traces"),
        [look("logs"), look("metrics"), look("traces")],  # there are no traces: a gap
        synthesizer=Agent("telemetry writer", run=collect),
    )
    technical = Tier(
        lead("technical", "telemetry-tier", "deploys"),
        [telemetry, look("deploys")],
        synthesizer=Agent("technical writer", run=collect),
    )
    top = Tier(lead("chief", "technical-tier"), [technical], synthesizer=Agent("report", run=collect))
    graph = hierarchy(top, guards=[Depth(3), Convergence(rounds=2), Deadline(60)])
    outcome = graph.compile().invoke({"task": "Why did payments fail this morning?"})["outcome"]
    print(outcome.status)
    for finding in outcome.value:
        print("-", finding)
    for gap in outcome.gaps:
        print("missing:", " / ".join((*gap.path, gap.subtask)), "-", gap.reason)


if __name__ == "__main__":
    main()
