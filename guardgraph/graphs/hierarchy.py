"""Supervisors of supervisors: each tier plans for its own members, and is one worker of the tier above."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from math import ceil
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents.agent import Agent
from guardgraph.agents.skills import Skills
from guardgraph.graphs.supervisor import supervisor
from guardgraph.guards import Guard
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import EVERYONE, BadGraph
from guardgraph.state.argument_checks import check_fields, must_be

__all__ = ("Tier", "hierarchy")


@dataclass(frozen=True, slots=True)
class Tier:
    """A lead and its members; for the tier above it is one worker, whose inside is hidden."""

    lead: Agent
    """Plans the work of the members, as the planner of a `supervisor` does."""
    members: Sequence[Agent | Tier]
    """Workers, and tiers below this one."""
    name: str = ""
    """Its name as a worker of the tier above; by default the name of the lead with `-tier`."""
    synthesizer: Agent | None = None
    """Writes the answer of the tier; without one it is the list of accepted results."""
    skills: Collection[str] = ()
    """What the tier above may ask it for; by default all skills of its members."""
    guards: Sequence[Guard] | None = None
    """The guards of this tier; `None` means those of the hierarchy."""
    budget_share: float | None = None
    """At most this part (0 to 1) of what the tier above still has may go into one of its subtasks."""
    attempts: int = 1
    """How many attempts the tier above makes with it."""

    def __post_init__(self) -> None:
        check_fields(self, at_least={"attempts": 1})
        if not self.members:
            raise BadGraph(f"the tier of {self.lead.name!r} needs at least one member")
        object.__setattr__(self, "members", tuple(self.members))
        object.__setattr__(self, "name", self.name or f"{self.lead.name}-tier")
        offered = (skill for member in self.members for skill in member.skills)
        object.__setattr__(self, "skills", frozenset(self.skills or offered))

    @property
    def levels(self) -> int:
        """The number of tiers from this one down to the lowest, both included."""
        return 1 + max((member.levels for member in self.members if isinstance(member, Tier)), default=0)

    @classmethod
    def of_workers(cls, workers: Sequence[Agent], *, lead: Agent, span: int = 5) -> Tier:
        """Return tiers over `workers` in which no lead has more than `span` members.

        Neighbours in the list get the same lead. Each lead is a copy of `lead` with a number behind its name; the top
        one keeps the name. Raises `BadGraph` for a `span` below 2 and for no workers.
        """
        must_be("Tier.of_workers", "workers", workers, Sequence[Agent])
        must_be("Tier.of_workers", "lead", lead, Agent)
        must_be("Tier.of_workers", "span", span, int)
        if span < 2:
            raise BadGraph(f"`span` must be at least 2, got {span}")
        members: Sequence[Agent | Tier] = workers
        names = (f"{lead.name}-{number}" for number in count(1))
        while len(members) > span:
            members = [
                group[0] if len(group) == 1 else cls(replace(lead, name=next(names)), group)
                for group in _groups(members, ceil(len(members) / span))
            ]
        return cls(lead, members)


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
        board.check_agents([*_names(top)])
    return _team(top, guards, concurrency, board, skills, name)


def _groups(members: Sequence[Agent | Tier], number: int) -> list[Sequence[Agent | Tier]]:
    """Return so many groups of neighbours, whose sizes differ by one at most."""
    ends = [len(members) * group // number for group in range(number + 1)]
    return [members[start:end] for start, end in pairwise(ends)]


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


def _names(tier: Tier, *, below: bool = True) -> Iterator[str]:
    """Yield the names of the agents of a tier, those of the tiers in it as workers, and with `below` all in them."""
    for member in (tier.lead, *tier.members, *([tier.synthesizer] if tier.synthesizer else [])):
        if isinstance(member, Agent):
            yield from (agent.name for agent in member.fallback_chain)
        else:
            yield member.name
            yield from _names(member) if below else ()


def _board_of(board: Board, tier: Tier) -> Board:
    """Return the board as one tier declares it; a tier in it may read what any of its agents may."""
    names = {*_names(tier, below=False), EVERYONE}
    write = {name: patterns for name, patterns in board.write.items() if name in names}
    if board.read is None:
        return replace(board, write=write)
    read = {name: patterns for name, patterns in board.read.items() if name in names}
    for member in tier.members:
        if isinstance(member, Tier):
            inside = [pattern for name in (member.name, *_names(member)) for pattern in board.read.get(name, ())]
            read[member.name] = tuple(inside)
    return replace(board, write=write, read=read)
