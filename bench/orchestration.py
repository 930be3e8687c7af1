"""CPU of one job of a planner and three workers, with models that answer at once: `python -m bench.orchestration`.

Nothing is checkpointed. Every team must end in the same report, after exactly the model calls that its design needs:
guardgraph and the plain graph plan, work, plan again and write (6); the supervisor of `langgraph-supervisor` and the
chief of the swarm hand over to each worker and get the word back (7); in the chain each worker hands over to the next
(5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import click

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.peers import Missing
from bench.measuring.report import Report, show
from bench.teams.guarded import guarded, guarded_by_all
from bench.teams.peer_supervisor import peer_supervisor
from bench.teams.peer_swarm import peer_swarm, peer_swarm_chain
from bench.teams.plain import plain
from bench.teams.team import Team

_CPU = "CPU ms a job"
_TEAMS: Mapping[str, Callable[[str], Team]] = {
    "guardgraph": guarded,
    "guardgraph, all guards": guarded_by_all,
    "plain LangGraph": plain,
    "langgraph-supervisor": peer_supervisor,
    "langgraph-swarm": peer_swarm,
    "langgraph-swarm, a chain": peer_swarm_chain,
}
_COMPARISONS = (
    Comparison("guardgraph", "langgraph-supervisor", _CPU, at_most=0.5),
    Comparison("guardgraph", "langgraph-swarm", _CPU, at_most=0.4),
    Comparison("guardgraph", "langgraph-swarm, a chain", _CPU),
    Comparison("guardgraph", "plain LangGraph", _CPU, at_most=2.0),
    Comparison("guardgraph, all guards", "guardgraph", _CPU),
)
_VERSIONS = ("guardgraph", "langgraph", "langchain-core", "langchain", "langgraph-supervisor", "langgraph-swarm")


@click.command(help=__doc__)
@click.option("--jobs", type=click.IntRange(min=1), default=20, show_default=True, help="Jobs in one measurement.")
@common_options(rounds=9)
def main(jobs: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    contestants: list[Contestant] = []
    missing: list[str] = []
    for name, build in _TEAMS.items():
        try:
            contestants.append(_contestant(build(name), jobs))
        except Missing as reason:
            missing.append(str(reason))
    title = f"One job of a planner and three workers, {jobs} jobs a measurement"
    report = Report(title, compete(contestants, rounds=rounds), _COMPARISONS, missing)
    show([report], versions=_VERSIONS, as_json=as_json)


def _contestant(team: Team, jobs: int) -> Contestant:
    def measure() -> Mapping[str, float]:
        begun = time.process_time()
        for _ in range(jobs):
            team.work()
        return {_CPU: (time.process_time() - begun) / jobs * 1000}

    return Contestant(team.name, measure)


if __name__ == "__main__":
    main()
