"""Panels of which some are wrong, with the ballots of each voting rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from guardgraph.graphs import (
    approval,
    borda,
    confidence_weighted,
    majority,
    plurality,
    schulze,
    supermajority,
)
from guardgraph.nodes.decisions.ballots import Ballot, VotingRule

__all__ = ("RIGHT", "RULES", "Errors", "Voter", "ballot_of", "panel_of")

Errors = Literal["independent", "common"]
"""Whether each wrong agent has an error of its own, or all have the same one."""

RIGHT = "right"
_WRONG = ("wrong 1", "wrong 2", "wrong 3")

RULES: Mapping[str, VotingRule] = {
    "plurality": plurality,
    "majority": majority,
    "supermajority": supermajority(),
    "confidence weighted": confidence_weighted,
    "approval": approval,
    "Borda": borda,
    "Schulze": schulze,
}


@dataclass(frozen=True, slots=True)
class Voter:
    """What one agent holds of four answers."""

    ranking: Sequence[str]
    """All answers, best first."""
    approved: Sequence[str]
    """The first, and each other one with a probability of 1/4."""
    confidence: float
    """0.5 to 1 where it is right, 0.3 to 0.8 where it is wrong: informative, but not much."""


def panel_of(random: Random, *, agents: int, wrong: int, errors: Errors) -> list[Voter]:
    """Return agents of which so many rank a wrong answer first, and the others the right one; the rest is random."""
    common = random.choice(_WRONG)
    voters: list[Voter] = []
    for number in range(agents):
        is_wrong = number < wrong
        first = RIGHT if not is_wrong else common if errors == "common" else random.choice(_WRONG)
        rest = [answer for answer in (RIGHT, *_WRONG) if answer != first]
        random.shuffle(rest)
        approved = [first, *(answer for answer in rest if random.random() < 0.25)]
        voters.append(Voter([first, *rest], approved, random.uniform(0.3, 0.8) if is_wrong else random.uniform(0.5, 1)))
    return voters


def ballot_of(voter: Voter, rule: str) -> Ballot:
    """Return the ballot of a voter under a rule."""
    values: Mapping[str, Callable[[], Any]] = {
        "approval": lambda: [*voter.approved],
        "Borda": lambda: [*voter.ranking],
        "Schulze": lambda: [*voter.ranking],
    }
    return Ballot(values.get(rule, lambda: voter.ranking[0])(), voter.confidence)
