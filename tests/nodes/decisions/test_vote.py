"""Who wins a vote on single choices or by approval, when nobody does, and which answers are the same choice."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.graphs import (
    ApprovalBallot,
    approval,
    confidence_weighted,
    majority,
    plurality,
    supermajority,
)
from guardgraph.nodes.decisions.ballots import Ballot, VotingRule, canonical
from guardgraph.nodes.decisions.ranked_vote import ballot_type, borda, schulze
from guardgraph.state import BadGraph, BadInput

CHOICES = st.lists(st.sampled_from("abcd"), max_size=12)
RULES: list[VotingRule] = [plurality, majority, supermajority(), confidence_weighted]
IDS = ["plurality", "majority", "supermajority", "confidence_weighted"]


def keys(*options: str) -> tuple[str, ...]:
    return tuple(canonical(option) for option in options)


@pytest.mark.parametrize(
    ("rule", "ballots", "winners"),
    [
        (plurality, "aab", "a"),
        (plurality, "aabbc", "ab"),
        (plurality, "", ""),
        (majority, "aab", "a"),
        (majority, "aabb", ""),
        (majority, "aabc", ""),
        (supermajority(), "aab", "a"),  # 2 of 3 are two thirds
        (supermajority(), "aaabb", ""),
        (supermajority(0.75), "aaab", "a"),
        (supermajority(0.76), "aaab", ""),
        (supermajority(1), "aaaa", "a"),
        (supermajority(1), "aaab", ""),
        (confidence_weighted, "aab", "a"),
    ],
)
def test_the_winner_is_the_choice_that_reaches_the_threshold(rule: VotingRule, ballots: str, winners: str) -> None:
    assert rule(ballots).winners == keys(*winners)


@pytest.mark.parametrize(
    ("ballots", "winners"),
    [
        ([Ballot("a", 0.9), Ballot("b", 0.4), Ballot("b", 0.4)], "a"),
        ([Ballot("a", 0.8), Ballot("b", 0.4), Ballot("b", 0.4)], "ab"),
        ([Ballot("a", 0.1), Ballot("a", 0.2), Ballot("b", 0.3)], "ab"),  # 0.1 + 0.2 is 0.3
        ([Ballot("a", 0.9), Ballot("b"), Ballot("b", 0.1)], "a"),  # an unknown one counts 0.5, the mean
        ([Ballot("a"), Ballot("b"), Ballot("b")], "b"),
    ],
)
def test_confidence_outweighs_numbers(ballots: list[Ballot], winners: str) -> None:
    assert confidence_weighted(ballots).winners == keys(*winners)


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_confidence_is_from_0_to_1(confidence: float) -> None:
    with pytest.raises(BadInput, match="the confidence of a ballot must be from 0 to 1, got"):
        Ballot("a", confidence)


@pytest.mark.parametrize(
    ("ballots", "winners"),
    [
        ([["a", "b"], ["b"], ["c"]], "b"),
        ([["a", "b"], ["b", "a"]], "ab"),
        ([ApprovalBallot(approved=("a", "a")), {"approved": ["b"]}, ["b"]], "b"),  # a name twice counts once
        ([[], []], ""),
    ],
)
def test_approval_elects_who_most_voters_approve_of(ballots: list[Any], winners: str) -> None:
    assert approval(ballots).winners == keys(*winners)


@pytest.mark.parametrize("threshold", [0.5, 0, -1, 1.01, float("nan")])
def test_a_supermajority_is_more_than_half_and_at_most_all(threshold: float) -> None:
    with pytest.raises(BadGraph, match=r"must be above 0.5 and at most 1, got"):
        supermajority(threshold)


def test_answers_that_differ_as_texts_alone_are_one_choice() -> None:
    count = plurality([{"a": 1, "b": [2]}, {"b": [2], "a": 1}, {"a": 2}])

    assert count.winner == {"a": 1, "b": [2]}
    assert [*count.scores.values()] == [2.0, 1.0]


def test_a_key_makes_answers_the_same_choice_and_the_first_of_them_represents_it() -> None:
    answers = [{"ok": True, "why": "x"}, {"ok": False, "why": "y"}, {"ok": True, "why": "z"}]

    assert plurality(answers).winner is None
    assert plurality(answers, key=lambda answer: answer["ok"]).winner == {"ok": True, "why": "x"}


def test_a_rule_knows_its_kind_of_ballot_also_behind_arguments() -> None:
    kinds = [ballot_type(rule) for rule in (None, plurality, partial(borda, key=str.lower), schulze, approval)]

    assert [kind and kind.__name__ for kind in kinds] == [
        None,
        None,
        "RankingBallot",
        "RankingBallot",
        "ApprovalBallot",
    ]


@pytest.mark.parametrize("rule", RULES, ids=IDS)
@given(choices=CHOICES, data=st.data())
def test_the_order_of_the_voters_makes_no_difference(rule: VotingRule, choices: list[str], data: Any) -> None:
    shuffled = data.draw(st.permutations(choices))

    assert rule(shuffled).winners == rule(choices).winners  # anonymity


@pytest.mark.parametrize("rule", RULES, ids=IDS)
@given(choices=CHOICES, names=st.permutations("abcd"))
def test_the_names_of_the_options_make_no_difference(rule: VotingRule, choices: list[str], names: list[str]) -> None:
    renamed = dict(zip("abcd", names, strict=True))
    expected = {canonical(renamed[option]) for option in "abcd" if canonical(option) in rule(choices).winners}

    assert set(rule([renamed[choice] for choice in choices]).winners) == expected  # neutrality


@given(choices=CHOICES.filter(bool))
def test_a_choice_of_more_than_half_wins_and_nothing_else_by_majority(choices: list[str]) -> None:
    name, votes = Counter(choices).most_common(1)[0]

    assert (majority(choices).winners == keys(name)) == (votes > len(choices) / 2)
    assert (supermajority()(choices).winners == keys(name)) == (3 * votes >= 2 * len(choices))
    if votes > len(choices) / 2:
        assert plurality(choices).winners == keys(name)


@given(choices=CHOICES.filter(bool), more=st.sampled_from("abcd"))
def test_one_more_vote_for_a_winner_never_harms_it(choices: list[str], more: str) -> None:
    if canonical(more) in plurality(choices).winners:
        assert plurality([*choices, more]).winners == keys(more)
