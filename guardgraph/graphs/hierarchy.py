"""Supervisors of supervisors: each tier plans for its own members, and is one worker of the tier above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.agents.skills import Skills
from guardgraph.graphs.supervisor import supervisor
from guardgraph.graphs.tier import Tier
from guardgraph.guards import Guard
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import EVERYONE, BadGraph
from guardgraph.state.argument_checks import must_be

__all__ = ("hierarchy",)


def hierarchy(
    top: Tier,
    *,
    guards: Sequence[Guard] | None = None,
    concurrency: int | None = 4,
    tiers: int = 3,
    board: Board | None = None,
    skills: Skills | None = None,
    name: str = "hierarchy",
) -> StateGraph[Any, Any, Any, Any]:
    """Return tiers of supervisors as an uncompiled graph; the value is the answer of the top one.

    A tier is given its subtask and what that depends on; it sees nothing of the tiers beside it, and the tier above
    sees its value and its gaps alone. All spend from one allowance; a tier may have a share of it (`budget_share`), and
    each ends a tenth (at most 10 s) before the deadline of the one above, which has to write. `concurrency` caps how
    many agents of each tier work at a time. `board` is shared by the agents of all tiers, and grants what each may
    write by its name. `skills` and `guards=None` mean what they do in `supervisor`, in each tier. Raises `BadGraph` for
    more than `tiers` tiers, and for all that `supervisor` refuses.
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
    return _team(top, guards, concurrency, board, skills, name)


def _team(
    tier: Tier,
    guards: Sequence[Guard] | None,
    concurrency: int | None,
    board: Board | None,
    skills: Skills | None,
    name: str,
) -> StateGraph[Any, Any, Any, Any]:
    return supervisor(
        planner=tier.lead,
        workers=[
            member if isinstance(member, Agent) else _worker(member, guards, concurrency, board, skills)
            for member in tier.members
        ],
        synthesizer=tier.synthesizer,
        guards=guards if tier.guards is None else tier.guards,
        concurrency=concurrency,
        board=None if board is None else _board_of(board, tier),
        skills=skills,
        name=name,
    )


def _worker(
    tier: Tier, guards: Sequence[Guard] | None, concurrency: int | None, board: Board | None, skills: Skills | None
) -> Agent:
    """Return a tier as a worker of the tier above."""
    return Agent(
        tier.name,
        run=_team(tier, guards, concurrency, board, skills, tier.name).compile(),
        skills=tier.skills,
        budget_share=tier.budget_share,
        attempts=tier.attempts,
    )


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
