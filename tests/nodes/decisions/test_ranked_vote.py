"""Who wins a vote by rankings: textbook cases, real elections with published winners, and what must always hold."""

from __future__ import annotations

import itertools
import re
import time
from collections import defaultdict
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from guardgraph.graphs import RankingBallot, borda, schulze
from guardgraph.nodes.decisions.ballots import VotingRule, canonical
from guardgraph.nodes.decisions.ranked_vote import pairwise
from tests.public_data import public_data

Ranking = list[Any]


def elected(rule: VotingRule, ballots: list[Ranking], **options: Any) -> list[Any]:
    count = rule(ballots, **options)
    return [count.options[winner] for winner in count.winners]


def ballots_of(*groups: tuple[int, str]) -> list[Ranking]:
    """Return ballots written as `a>b=c`, each so many times."""
    return [[place.split("=") for place in ranking.split(">")] for times, ranking in groups for _ in range(times)]


TENNESSEE = ballots_of(
    (42, "memphis>nashville>chattanooga>knoxville"),
    (26, "nashville>chattanooga>knoxville>memphis"),
    (15, "chattanooga>knoxville>nashville>memphis"),
    (17, "knoxville>chattanooga>nashville>memphis"),
)
"""The capital of Tennessee, the usual example: Nashville beats each other city."""
SCHULZE_1 = ballots_of(
    (5, "a>c>b>e>d"),
    (5, "a>d>e>c>b"),
    (8, "b>e>d>a>c"),
    (3, "c>a>b>e>d"),
    (7, "c>a>e>b>d"),
    (2, "c>b>a>d>e"),
    (7, "d>c>e>b>a"),
    (8, "e>b>a>d>c"),
)
"""45 voters without a Condorcet winner; Schulze's own example, whose ranking is e > a > c > b > d."""


@pytest.mark.parametrize(
    ("rule", "ballots", "winners"),
    [
        (borda, TENNESSEE, ["nashville"]),
        (schulze, TENNESSEE, ["nashville"]),
        (schulze, SCHULZE_1, ["e"]),
        (borda, ballots_of((3, "a>b>c"), (2, "b>c>a")), ["b"]),  # 7 points to 6, though most prefer a
        (schulze, ballots_of((3, "a>b>c"), (2, "b>c>a")), ["a"]),
        (schulze, ballots_of((1, "a>b>c"), (1, "b>c>a"), (1, "c>a>b")), ["a", "b", "c"]),
        (borda, ballots_of((1, "a>b>c"), (1, "b>c>a"), (1, "c>a>b")), ["a", "b", "c"]),
        (borda, ballots_of((1, "a=b>c"), (1, "c>a=b")), ["a", "b", "c"]),  # 1.5 + 0.5, 1.5 + 0.5, 0 + 2
        (borda, [["a"], ["b", "a"]], ["a", "b"]),
        (schulze, [[], []], []),
        (borda, [], []),
    ],
)
def test_textbook_cases(rule: VotingRule, ballots: list[Ranking], winners: list[str]) -> None:
    assert elected(rule, ballots) == winners


def test_the_borda_count_gives_each_ballot_the_same_sum_of_points() -> None:
    full, partial, tied = ballots_of((1, "a>b>c")), [["a"], ["b"], ["c"]], ballots_of((1, "a=b=c"))

    assert [sum(borda(ballots).scores.values()) for ballots in (full, partial, tied)] == [3, 9, 3]
    assert borda(TENNESSEE).scores[canonical("nashville")] == 194  # as published for this example


def test_the_whole_schulze_ranking_is_in_the_scores() -> None:
    assert {key.strip('"'): score for key, score in schulze(SCHULZE_1).scores.items()} == dict(
        zip("eacbd", [4, 3, 2, 1, 0], strict=True)
    )


def test_an_option_may_be_ranked_once() -> None:
    with pytest.raises(ValidationError, match="may be ranked once, these are ranked twice"):
        RankingBallot.model_validate(["a", ["b", "a"]])


def test_many_options_take_little_time() -> None:
    options = [str(number) for number in range(300)]
    began = time.process_time()
    count = schulze([options, options[100:] + options[:100], options[200:] + options[:200]])

    assert set(count.winners) == {f'"{option}"' for option in ("0", "100", "200")}
    assert time.process_time() - began < 5


def test_options_with_one_key_are_one_option_at_its_first_place() -> None:
    assert elected(schulze, [["A", "b", "a"], ["a", "b"]], key=str.lower) == ["A"]
    assert borda([["A", "b", "a"]], key=str.lower).scores == {'"a"': 1.0, '"b"': 0.0}


# Real elections. The rankings are those that the tests of the library Condorcet (github.com/julien-boudry/Condorcet)
# publish for the Debian leader elections of 2006 and 2007.
PUBLISHED = {
    2006: "Anthony Towns > Steve McIntyre > Andreas Schuldei = Jeroen van Wolffelaar > Bill Allombert"
    " > None of the Above > Ari Pollak > Jonathan aka Ted Walther",
    2007: "Sam Hocevar > Steve McIntyre > Raphaël Hertzog > Wouter Verhelst > Anthony Towns > Gustavo Franco"
    " > None Of The Above > Simon Richter > Aigars Mahinovs",
}


def debian(file: Path) -> list[Ranking]:
    """Return the ballots of a tally sheet: one digit per option, its place; `-` where it is not ranked."""
    text = file.read_text(encoding="latin-1")
    names = dict(re.findall(r"Option (\d+)-*>: (.+)", text))
    ballots: list[Ranking] = []
    for digits in re.findall(r"^V: (\S+)", text, flags=re.MULTILINE):
        places: defaultdict[int, list[str]] = defaultdict(list)
        for number, digit in enumerate(digits, 1):
            if digit != "-":
                places[int(digit, 36)].append(names[str(number)].strip())
        ballots.append([places[place] for place in sorted(places)])
    return ballots


def tideman(file: Path) -> list[Ranking]:
    """Return the ballots of a file in the format of David Hill: a count, options by rank, and 0."""
    lines = [line.split() for line in file.read_text(encoding="latin-1").splitlines()[1:]]
    counted = [line for line in lines if len(line) > 1 and line[-1] == "0" and line[0].isdigit()]
    return [list(line[1:-1]) for line in counted for _ in range(int(line[0]))]


@pytest.mark.parametrize(("year", "voters"), [(2006, 421), (2007, 482)])
def test_the_winner_and_the_ranking_of_a_debian_election_are_those_published(year: int, voters: int) -> None:
    ballots = debian(public_data("elections") / f"leader{year}_tally.txt")
    count = schulze(ballots)
    places: defaultdict[float, list[str]] = defaultdict(list)
    for key, score in count.scores.items():
        places[score].append(str(count.options[key]))

    assert len(ballots) == voters
    assert " > ".join(" = ".join(sorted(places[score])) for score in sorted(places, reverse=True)) == PUBLISHED[year]


@pytest.mark.parametrize(("name", "voters"), [("A1", 380), ("A3", 989)])
def test_the_schulze_winner_of_a_tideman_election_beats_each_other_candidate(name: str, voters: int) -> None:
    ballots = tideman(public_data("elections") / f"{name}.HIL")
    (winner,) = elected(schulze, ballots)
    others = {option for ballot in ballots for option in ballot} - {winner}

    def prefer(one: str, other: str) -> int:  # counted here once more, by itself
        places = [{option: place for place, option in enumerate(ballot)} for ballot in ballots]
        return sum(place.get(one, len(place)) < place.get(other, len(place)) for place in places)

    assert len(ballots) == voters
    assert all(prefer(winner, other) > prefer(other, winner) for other in others)
    assert winner in elected(borda, ballots)


# What must always hold

RANKINGS = st.lists(st.lists(st.sampled_from("abcd"), unique=True, max_size=4), min_size=1, max_size=9)
RULES: list[VotingRule] = [borda, schulze]


@pytest.mark.parametrize("rule", RULES)
@given(ballots=RANKINGS, data=st.data())
def test_the_order_of_the_voters_makes_no_difference(rule: VotingRule, ballots: list[Ranking], data: Any) -> None:
    assert rule(data.draw(st.permutations(ballots))).winners == rule(ballots).winners  # anonymity


@pytest.mark.parametrize("rule", RULES)
@given(ballots=RANKINGS, names=st.permutations("abcd"))
def test_the_names_of_the_options_make_no_difference(
    rule: VotingRule, ballots: list[Ranking], names: list[str]
) -> None:
    renamed = dict(zip("abcd", names, strict=True))
    expected = {renamed[option] for option in elected(rule, ballots)}

    assert set(elected(rule, [[renamed[option] for option in ballot] for ballot in ballots])) == expected  # neutrality


@settings(max_examples=300)
@given(ballots=RANKINGS)
def test_schulze_elects_the_condorcet_winner_wherever_there_is_one(ballots: list[Ranking]) -> None:
    options = sorted({option for ballot in ballots for option in ballot})
    wins = pairwise([[(option,) for option in ballot] for ballot in ballots], options)
    condorcet = [
        one for one in options if all(wins[one, other] > wins[other, one] for other in options if other != one)
    ]

    if condorcet:
        assert elected(schulze, ballots) == condorcet
    elif options:
        assert elected(schulze, ballots)  # the method always elects somebody


@settings(max_examples=300)
@given(ballots=RANKINGS)
def test_schulze_elects_whom_more_than_half_rank_alone_at_the_top(ballots: list[Ranking]) -> None:
    tops = [ballot[0] for ballot in ballots if ballot]
    favourite = next((top for top in tops if 2 * tops.count(top) > len(ballots)), None)

    if favourite is not None:
        assert elected(schulze, ballots) == [favourite]


@given(ballots=RANKINGS)
def test_strongest_paths_agree_with_a_search_of_all_paths(ballots: list[Ranking]) -> None:
    options = sorted({option for ballot in ballots for option in ballot})
    wins = pairwise([[(option,) for option in ballot] for ballot in ballots], options)

    def strength(path: tuple[str, ...]) -> int:
        return min(wins[a, b] if wins[a, b] > wins[b, a] else 0 for a, b in itertools.pairwise(path))

    def strongest(one: str, other: str) -> int:
        between = [option for option in options if option not in (one, other)]
        middles = (middle for length in range(len(between) + 1) for middle in permutations(between, length))
        return max(strength((one, *middle, other)) for middle in middles)

    winners = [a for a in options if all(strongest(a, b) >= strongest(b, a) for b in options if a != b)]
    assert elected(schulze, ballots) == winners
