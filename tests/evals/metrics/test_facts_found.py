"""The metric of expected facts."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from guardgraph.evals import Case, Score
from guardgraph.evals.metrics import FactsFound
from guardgraph.state import Outcome, Task


def score_of(value: JsonValue, *facts: str) -> Score:
    case = Case(id="a", task=Task(goal="x"), expected_facts=facts)
    score = FactsFound()(case, Outcome(status="completed", value=value))
    assert score is not None
    return score


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ("Costs are 2.00 USD.", "2.00 usd"),
        ("Costs are\n  2.00\tUSD.", "2.00 USD"),
        ({"report": ["x", {"y": "the BUDGET holds"}]}, "budget"),
        ({"price": 42}, "42"),
        ("call `Budget(usd=2)` first", "Budget("),
        ("STRASSE", "straße"),
        ("fi\uff4ee", "fine"),
        ("x" * 50_000 + " end", "end"),
    ],
)
def test_a_fact_is_found_in_any_case_and_with_any_white_space(value: JsonValue, fact: str) -> None:
    assert score_of(value, fact).passed


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ("It costs 15.", "5"),
        ("budgets", "budget"),
        (["one", "two"], "one two"),
        ({"budget": "none"}, "budget"),
        ({"citations": [{"quote": "the budget"}]}, "budget"),
        (None, "budget"),
    ],
)
def test_parts_of_words_keys_and_quotations_are_no_facts(value: JsonValue, fact: str) -> None:
    assert not score_of(value, fact).passed


def test_the_score_is_the_share_that_was_found() -> None:
    score = score_of("red and green", "red", "green", "blue", "white")

    assert (score.value, score.passed, score.reason) == (0.5, False, "missing: 'blue', 'white'")


def test_a_case_without_expected_facts_is_not_counted() -> None:
    assert FactsFound()(Case(id="a", task=Task(goal="x")), Outcome(status="completed", value="y")) is None
