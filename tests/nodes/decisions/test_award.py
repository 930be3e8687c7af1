"""Lots go to the best bids, within capacity, the same way every time."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.nodes.decisions.award import AWARDS, AwardRule, Offer, award_by_regret, award_greedily

RULES: tuple[AwardRule, ...] = ("greedy", "regret")
SCORES = st.integers(-9, 0).map(float)
LOADS = st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 3.0])


def pairs(won: list[Offer]) -> dict[str, str]:
    return {one.lot: one.bidder for one in won}


def offers_of(scores: dict[str, dict[str, float]]) -> list[Offer]:
    return [Offer(lot, bidder, score) for lot, by_bidder in scores.items() for bidder, score in by_bidder.items()]


def test_the_best_score_wins_each_lot() -> None:
    offers = offers_of({"x": {"a": -5, "b": -3}, "y": {"a": -1, "b": -2}})

    for rule in RULES:
        assert pairs(AWARDS[rule](offers, {"a": None, "b": None}, {})) == {"x": "b", "y": "a"}


def test_greedy_takes_the_best_score_first_and_regret_the_lot_that_would_lose_most() -> None:
    offers = offers_of({"x": {"a": -1, "b": -2}, "y": {"a": -2, "b": -9}})
    capacity = {"a": Decimal(1), "b": Decimal(1)}

    assert pairs(award_greedily(offers, capacity)) == {"x": "a", "y": "b"}
    assert pairs(award_by_regret(offers, capacity)) == {"x": "b", "y": "a"}


def test_a_lot_with_one_bidder_comes_before_all_others_by_regret() -> None:
    offers = offers_of({"x": {"a": 0, "b": -100}, "y": {"a": -50}})

    assert pairs(award_by_regret(offers, {"a": Decimal(1), "b": Decimal(1)})) == {"x": "b", "y": "a"}


def test_the_regret_counts_only_bidders_with_capacity_left() -> None:
    offers = offers_of({"x": {"a": -1, "b": -2}, "y": {"a": -1, "b": -4}, "z": {"a": -1, "b": -3, "c": -3}})
    capacity = {"a": Decimal(1), "b": Decimal(1), "c": Decimal(1)}

    assert pairs(award_by_regret(offers, capacity)) == {"x": "b", "y": "a", "z": "c"}


@pytest.mark.parametrize("rule", RULES)
def test_three_loads_of_a_tenth_fit_a_capacity_of_three_tenths(rule: AwardRule) -> None:
    offers = [Offer(lot, "a", -1.0, load=0.1) for lot in ("x", "y", "z", "more")]

    assert len(AWARDS[rule](offers, {"a": Decimal("0.3")}, {})) == 3


@pytest.mark.parametrize("rule", RULES)
def test_equal_scores_go_to_the_surer_bidder_then_to_who_has_least_to_do(rule: AwardRule) -> None:
    lots = [f"lot{number}" for number in range(6)]
    offers = [Offer(lot, bidder, 0.0) for lot, bidder in product(lots, "ab")]
    won = AWARDS[rule](offers, {"a": None, "b": None}, {"a": 1, "b": 2})
    assert [one.lot for one in won] == lots
    assert [one.bidder for one in won].count("b") == 4

    offers = [Offer(lot, bidder, 0.0, confidence=0.5 + 0.1 * (bidder == "b")) for lot, bidder in product(lots, "ab")]
    assert {one.bidder for one in AWARDS[rule](offers, {"a": None, "b": None}, {})} == {"b"}


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3), SCORES, LOADS), unique_by=lambda one: one[:2]),
    st.lists(st.none() | st.sampled_from(["0", "0.3", "1", "2.5", "9"]), min_size=4, max_size=4),
    st.sampled_from(RULES),
)
def test_no_award_exceeds_a_capacity_and_none_is_missed(
    given_offers: list[tuple[int, int, float, float]], limits: list[str | None], rule: AwardRule
) -> None:
    offers = [Offer(f"lot{lot}", f"b{bidder}", score, load) for lot, bidder, score, load in given_offers]
    capacity = {f"b{number}": None if limit is None else Decimal(limit) for number, limit in enumerate(limits)}
    won = AWARDS[rule](offers, capacity, {})

    assert won == AWARDS[rule](offers, capacity, {})
    assert set(won) <= set(offers)
    assert len({one.lot for one in won}) == len(won)
    taken: defaultdict[str, Decimal] = defaultdict(Decimal)
    for one in won:
        taken[one.bidder] += Decimal(str(one.load))
    left = {name: None if limit is None else limit - taken[name] for name, limit in capacity.items()}
    assert all(rest is None or rest >= 0 for rest in left.values())
    for one in offers:
        if one.lot not in {other.lot for other in won}:
            rest = left[one.bidder]
            assert rest is not None
            assert Decimal(str(one.load)) > rest
