"""Supervisors of supervisors: each tier plans for its own members, and is one worker of the tier above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.agents.skills import Skills
from guardgraph.graphs.review_checks import named_reviewers
from guardgraph.graphs.supervisor import supervisor
from guardgraph.graphs.tier import Tier
from guardgraph.guards import Guard
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import EVERYONE, BadGraph
from guardgraph.state.argument_checks import must_be

__all__ = ("hierarchy",)


class _Shared(NamedTuple):
    """What all tiers are given."""

    guards: Sequence[Guard] | None
    concurrency: int | None
    board: Board | None
    skills: Skills | None
    reviewers: Sequence[Agent]


def hierarchy(
    top: Tier,
    *,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = 4,
    tiers: int = 3,
    board: Board | None = None,
    skills: Skills | None = None,
    reviewers: Sequence[Agent] = (),
    name: str = "hierarchy",
) -> StateGraph[Any, Any, Any, Any]:
    """Return tiers of supervisors as an uncompiled graph; the value is the answer of the top one.

    A tier is given its subtask and what that depends on; it sees nothing of the tiers beside it, and the tier above
    sees its value and its gaps alone. All spend from one allowance; a tier may have a share of it (`budget_share`), and
    each ends a tenth (at most 10 s) before the deadline of the one above, which has to write. `concurrency` caps how
    many agents of each tier work at a time. `board` is shared by the agents of all tiers, and grants what each may
    write by its name. `skills` and `guards=None` mean what they do in `supervisor`, in each tier; `reviewers` give
    opinions in each tier whose guards name them (`review=`). Raises `BadGraph` for more than `tiers` tiers, and for all
    that `supervisor` refuses.
    """
    must_be("hierarchy", "top", top, Tier)
    must_be("hierarchy", "tiers", tiers, int)
    must_be("hierarchy", "skills", skills, Skills | None)
    if top.levels > tiers:
        raise BadGraph(
            f"{name}: there are {top.levels} tiers, and {tiers} are allowed; each one adds the time of its plan and of "
            f"its answer, so raise it (`tiers={top.levels}`) only where that does not matter"
        )
    must_be("hierarchy", "board", board, Board | None)
    if board is not None:
        board.check_agents([*top.names()])
    must_be("hierarchy", "reviewers", reviewers, Sequence[Agent])
    named = frozenset[str]().union(*(_reviewers_of(tier, guards) for tier in top.tiers()))
    idle = next((agent.name for agent in reviewers if agent.name not in named), None)
    if idle is not None:
        raise BadGraph(f"{name}: no guard of a tier names the reviewer {idle!r}: give one `review={idle!r}`")
    return _team(top, _Shared(guards, concurrency, board, skills, reviewers), name)


def _team(tier: Tier, shared: _Shared, name: str) -> StateGraph[Any, Any, Any, Any]:
    named = _reviewers_of(tier, shared.guards)
    return supervisor(
        planner=tier.lead,
        workers=[member if isinstance(member, Agent) else _worker(member, shared) for member in tier.members],
        synthesizer=tier.synthesizer,
        guards=_guards_of(tier, shared.guards),
        concurrency=shared.concurrency,
        board=None if shared.board is None else _board_of(shared.board, tier),
        skills=shared.skills,
        reviewers=[agent for agent in shared.reviewers if agent.name in named],
        name=name,
    )


def _worker(tier: Tier, shared: _Shared) -> Agent:
    """Return a tier as a worker of the tier above."""
    return Agent(
        tier.name,
        run=_team(tier, shared, tier.name).compile(),
        skills=tier.skills,
        budget_share=tier.budget_share,
        attempts=tier.attempts,
    )


def _guards_of(tier: Tier, guards: Sequence[Guard] | None) -> Sequence[Guard] | None:
    return guards if tier.guards is None else tier.guards


def _reviewers_of(tier: Tier, guards: Sequence[Guard] | None) -> frozenset[str]:
    """Return the names of the reviewers that guards of a tier name, and those of its agents."""
    agents = [one for one in (tier.lead, *tier.members, tier.synthesizer) if isinstance(one, Agent)]
    return named_reviewers(_guards_of(tier, guards) or (), agents)


def _board_of(board: Board, tier: Tier) -> Board:
    """Return the board as one tier declares it; a tier in it may read what any of its agents may."""
    names = {*tier.names(below=False), EVERYONE}
    write = {name: patterns for name, patterns in board.write.items() if name in names}
    if board.read is None:
        return replace(board, write=write)
    read = {name: patterns for name, patterns in board.read.items() if name in names}
    for member in tier.members:
        if isinstance(member, Tier):
            inside = [pattern for name in (member.name, *member.names()) for pattern in board.read.get(name, ())]
            read[member.name] = tuple(inside)
    return replace(board, write=write, read=read)
