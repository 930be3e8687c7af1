"""Voting rules for rankings with ties. Pure: the same ballots give the same count in any order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import permutations, product
from typing import Any

from pydantic import JsonValue

from guardgraph.nodes.decisions.ballots import (
    ApprovalBallot,
    Ballot,
    Key,
    RankingBallot,
    VoteCount,
    VotingRule,
    canonical,
    count_of,
    options_in,
)
from guardgraph.nodes.decisions.vote import approval
from guardgraph.state import FrozenModel

__all__ = ("ballot_type", "borda", "pairwise", "schulze", "strongest_paths")


def ballot_type(rule: VotingRule | None) -> type[FrozenModel] | None:
    """Return the kind of ballot that a rule counts; `None` is a single choice, as for every rule of your own."""
    while isinstance(rule, partial):
        rule = rule.func
    if rule is approval:
        return ApprovalBallot
    return RankingBallot if rule in (borda, schulze) else None


def borda(ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
    """Elect the option with the highest Borda count.

    An option gets from each ballot one point for every option that it is ranked above and half a point for every one
    that it is tied with; options that are not ranked are tied in the last place. So every ballot gives the same sum of
    points (the tournament or averaged count; for partial ballots see Emerson, "The original Borda count and partial
    voting", Social Choice and Welfare 40, 2013, who discusses the alternatives). All options with the most points are
    tied.

    >>> borda([["a", "b", "c"], ["b", "c", "a"], ["b", "a", "c"]]).winner
    'b'
    """
    rankings, options = _rankings(ballots, key)
    scores = dict.fromkeys(options, 0.0)
    for places in rankings:
        below = len(options)
        for tied in _all_places(places, options):
            below -= len(tied)
            for option in tied:
                scores[option] += below + (len(tied) - 1) / 2
    return count_of(scores, options)


def schulze(ballots: Iterable[Any], *, key: Key | None = None) -> VoteCount:
    """Elect by the Schulze method, with winning votes as the strength of a pairwise win.

    An option wins if its strongest path to every other option is at least as strong as the path back (M. Schulze, "A
    new monotonic, clone-independent, reversal symmetric, and Condorcet-consistent single-winner election method",
    Social Choice and Welfare 36, 2011). It elects the Condorcet winner wherever there is one. A score is the number of
    options that an option beats by its paths. All options that no other one beats are tied. Time grows with the
    square of the number of options.

    >>> schulze([["a", "b", "c"], ["b", "c", "a"], ["b", "a", "c"]]).winner
    'b'
    """
    rankings, options = _rankings(ballots, key)
    names = [*options]
    paths = strongest_paths(pairwise(rankings, names), names)
    beaten = {one: {other for other in names if paths[one, other] > paths[other, one]} for one in names}
    winners = [one for one in names if not any(one in beaten[other] for other in names)]
    scores = {one: float(len(beaten[one])) for one in sorted(names, key=lambda one: (-len(beaten[one]), one))}
    return VoteCount(tuple(sorted(winners)), scores, options)


def pairwise(rankings: Iterable[Sequence[Sequence[str]]], options: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return how many rankings place the first option of a pair above the second."""
    wins = dict.fromkeys(permutations(options, 2), 0)
    for places in rankings:
        rest = set(options)
        for tied in places:
            rest.difference_update(tied)
            for option in tied:
                for other in rest:
                    wins[option, other] += 1
    return wins


def strongest_paths(wins: Mapping[tuple[str, str], int], options: Sequence[str]) -> dict[tuple[str, str], int]:
    """Return the strength of the strongest path between each two options: that of its weakest pairwise win.

    A path at least as strong as a number exists where wins that are, too, lead from one option to the other. So this
    looks which options can be reached by ever stronger wins; of each option, these are the bits of one number.
    """
    place = {option: number for number, option in enumerate(options)}
    won = {(one, other): count for (one, other), count in wins.items() if count > wins[other, one]}
    paths = dict.fromkeys(product(options, options), 0)
    for strength in sorted({*won.values()}):
        reached = [0] * len(options)
        for (one, other), count in won.items():
            if count >= strength:
                reached[place[one]] |= 1 << place[other]
        for middle, _ in enumerate(options):
            beyond = reached[middle]
            reached = [bits | beyond if bits >> middle & 1 else bits for bits in reached]
        pairs = product(zip(options, reached, strict=True), options)
        paths |= {(one, other): strength for (one, bits), other in pairs if one != other and bits >> place[other] & 1}
    return paths


def _rankings(
    ballots: Iterable[Any], key: Key | None
) -> tuple[list[tuple[tuple[str, ...], ...]], dict[str, JsonValue]]:
    """Return each ballot as places of keys, and the options; an option that `key` makes a ballot repeat counts once."""
    options, rankings = dict[str, JsonValue](), list[tuple[tuple[str, ...], ...]]()
    for ballot in ballots:
        seen, places = set[str](), list[tuple[str, ...]]()
        for place in options_in(ballot.value if isinstance(ballot, Ballot) else ballot, RankingBallot):
            keys = {canonical(option, key): option for option in place}
            for option, value in keys.items():
                options.setdefault(option, value)
            places.append(tuple(option for option in keys if option not in seen))
            seen.update(keys)
        rankings.append(tuple(filter(None, places)))
    return rankings, options


def _all_places(places: Sequence[Sequence[str]], options: Mapping[str, JsonValue]) -> list[Sequence[str]]:
    """Return the places of a ranking, with the options that it does not rank as the last one."""
    ranked = {option for place in places for option in place}
    rest = [option for option in options if option not in ranked]
    return [*places, rest] if rest else [*places]
