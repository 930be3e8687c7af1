"""What one attempt of an agent takes, and what reviewers take for its answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from guardgraph.agents.agent import Agent
from guardgraph.graphs.load import Assumptions, Load, load_of_calls
from guardgraph.guards import applying, leaves
from guardgraph.nodes.team_spec import TeamSpec
from guardgraph.state import Gate, Price

__all__ = ("Estimating", "load_of_attempt", "load_of_reviews")


@dataclass(slots=True)
class Estimating:
    """What an estimate is given, and what it assumes besides."""

    given: Assumptions
    notes: dict[str, None] = field(default_factory=dict[str, None])
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """Those that the teams down to here declare; of two for one model that of the outer team holds."""

    def note(self, text: str, path: str = "") -> None:
        """Note an assumption, a sentence."""
        self.notes[f"{path} {text}".lstrip()] = None


def load_of_attempt(work: Estimating, agent: Agent, loads: dict[str, tuple[Load, Load]]) -> tuple[Load, Load]:
    """Return what one attempt takes, as expected and at worst; its timeout bounds it."""
    given = work.given
    if agent.name in loads:
        usual, slow = loads[agent.name]
    else:
        calls = given.calls_per_function if agent.kind != "model" else given.passes if agent.tools else 1
        if agent.tools:
            work.note(f"an agent with tools calls its model {given.passes} times in an attempt")
        usual = load_of_calls(calls, agent, given, seconds=given.seconds, prices=work.prices)
        slow = load_of_calls(calls, agent, given, seconds=given.slowest_seconds, prices=work.prices)
        if agent.kind != "model":
            work.note(f"model calls of an agent that is a function or a Runnable: {given.calls_per_function}")
    limit = float("inf") if agent.timeout is None else agent.timeout
    return tuple(  # type: ignore[return-value] - two of two
        replace(one, supersteps=2, attempts=one.attempts + 1, seconds=min(one.seconds, limit)) for one in (usual, slow)
    )


def load_of_reviews(
    work: Estimating,
    team: TeamSpec,
    agent: Agent | None,
    gates: Collection[Gate],
    loads: dict[str, tuple[Load, Load]],
) -> tuple[Load, Load]:
    """Return what reviewers take for one answer of an agent at these gates, as expected and at worst.

    `None` is the value of the team. As expected all are asked once, at the same time.
    """
    guards, names = (team.guards, None) if agent is None else ((*team.guards, *agent.guards), team.names_of(agent))
    named = [
        (str(guard.review), guard)  # type: ignore[attr-defined] - it has one
        for guard in leaves(applying(guards, agents=names))
        if getattr(guard, "review", None) in team.reviewers
    ]
    usual, slow = Load(), Load()
    for name, guard in named:
        times = len(guard.gates & frozenset(gates))
        if times:
            work.note("a reviewer is asked about every answer that its guard judges")
            usual = _beside(usual, load_of_attempt(work, team.agents[name], loads)[0])
            for member in team.agents[name].fallback_chain:
                slow += load_of_attempt(work, member, loads)[1].times(member.attempts * times)
    return usual, slow


def _beside(one: Load, other: Load) -> Load:
    """Return both, at the same time."""
    both = one + other
    return replace(both, supersteps=max(one.supersteps, other.supersteps), seconds=max(one.seconds, other.seconds))
