"""Voting rules for single choices and for approval. Pure: the same ballots give the same count in any order.

No rule breaks a tie: all options that are tied win. What to do then is up to whoever has asked for the vote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import JsonValue

from guardgraph.nodes.decisions.ballots import (
    ApprovalBallot,
    Ballot,
    Key,
    VoteCount,
    VotingRule,
    canonical,
    count_of,
    options_in,
)
from guardgraph.state import BadGraph

__all__ = ("approval", "confidence_weighted", "majority", "plurality", "supermajority")


def plurality(ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
    """Elect the choice of most voters; a score is a number of votes. All choices with the most votes are tied.

    >>> plurality(["yes", "no", "yes"]).winner
    'yes'
    >>> plurality(["yes", "no"]).winners
    ('"no"', '"yes"')
    """
    return count_of(*_votes(ballots, key, lambda _: 1.0))


def majority(ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
    """Elect the choice of more than half of the voters; a score is a number of votes. There are no ties.

    >>> majority(["yes", "no", "yes", "no"]).winners
    ()
    """
    voters = [*ballots]
    scores, options = _votes(voters, key, lambda _: 1.0)
    return count_of(scores, options, least=len(voters) / 2)


def supermajority(threshold: float = 2 / 3) -> VotingRule:
    """Return the rule that elects the choice of at least this part of the voters (above 1/2, at most 1).

    A score is a number of votes. There are no ties. Raises `BadGraph` for another threshold.

    >>> supermajority(3 / 4)(["yes", "yes", "yes", "no"]).winner
    'yes'
    """
    if not 0.5 < threshold <= 1:
        raise BadGraph(f"the threshold of a supermajority must be above 0.5 and at most 1, got {threshold!r}")

    def supermajority_of(ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
        voters = [*ballots]
        scores, options = _votes(voters, key, lambda _: 1.0)
        # 2/3 of 3 is not more than 2 in floating point, so the bound is a little below
        return count_of(scores, options, least=threshold * len(voters) - 1e-9)

    return supermajority_of


def confidence_weighted(ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
    """Elect the choice with the most confidence; a score is the sum of the confidences of its voters.

    A voter whose confidence is unknown counts with the mean of the known ones (1 if none is known), and a confidence
    of 0 counts nothing. Choices whose sums differ by less than 1e-9 are tied. It is the weighted majority of
    Littlestone and Warmuth (1994) with the voters' own confidences as weights; these pay off only where they are
    calibrated.

    >>> confidence_weighted([Ballot("yes", 0.9), Ballot("no", 0.4), Ballot("no", 0.4)]).winner
    'yes'
    """
    voters = _as_ballots(ballots)
    known = [voter.confidence for voter in voters if voter.confidence is not None]
    mean = sum(known) / len(known) if known else 1.0
    scores, options = _votes(voters, key, lambda voter: mean if voter.confidence is None else voter.confidence)
    return count_of({option: round(score, 9) for option, score in scores.items()}, options)


def approval(ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
    """Elect the option that most voters approve of (Brams and Fishburn, 1978); a score is a number of approvals.

    A ballot is an `ApprovalBallot`. All options with the most approvals are tied.

    >>> approval([["a", "b"], ["b"], ["c"]]).winner
    'b'
    """
    scores, options = dict[str, float](), dict[str, JsonValue]()
    for voter in _as_ballots(ballots):
        approved = {canonical(option, key): option for option in options_in(voter.value, ApprovalBallot)[0]}
        options |= {option: value for option, value in approved.items() if option not in options}
        for option in approved:
            scores[option] = scores.get(option, 0.0) + 1
    return count_of(scores, options)


def _votes(
    ballots: Iterable[Any], key: Key | None, weight: Callable[[Ballot], float]
) -> tuple[dict[str, float], dict[str, JsonValue]]:
    """Return the sum of weights for each choice, and the choices."""
    scores, options = dict[str, float](), dict[str, JsonValue]()
    for voter in _as_ballots(ballots):
        choice = canonical(voter.value, key)
        options.setdefault(choice, voter.value)
        scores[choice] = scores.get(choice, 0.0) + weight(voter)
    return scores, options


def _as_ballots(ballots: Iterable[Any]) -> Sequence[Ballot]:
    return [one if isinstance(one, Ballot) else Ballot(one) for one in ballots]
