"""A rubric weighs the scores of a judge; what a judge or a tie-breaker may answer."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.graphs import CandidateChoice, Criterion, Rubric, RubricScores
from guardgraph.nodes.decisions.rubric import read_choice, read_scores, scores_with_value
from guardgraph.state import BadGraph, BadInput

RUBRIC = Rubric([Criterion("right", 3), Criterion("short", 1), Criterion("noted", 0)])


def scores_of(**by_candidate: tuple[int, int, int]) -> dict[str, Any]:
    """Return scores for right, short and noted, as the JSON data of a result."""
    names = [criterion.name for criterion in RUBRIC.criteria]
    rows = [
        {"candidate": label, "criterion": name, "score": score}
        for label, scores in by_candidate.items()
        for name, score in zip(names, scores, strict=True)
    ]
    return {"scores": rows, "reasoning": ""}


@pytest.mark.parametrize(
    ("scores", "total"),
    [((5, 5, 1), 1.0), ((1, 1, 5), 0.0), ((5, 1, 1), 0.75), ((1, 5, 1), 0.25), ((3, 3, 3), 0.5)],
)
def test_the_total_is_the_weighted_mean_from_0_to_1(scores: tuple[int, int, int], total: float) -> None:
    assert read_scores(scores_of(A=scores), ["A"], RUBRIC).totals == {"A": total}


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        (scores_of(A=(5, 1, 1), B=(4, 5, 1)), ("B",)),  # 0.75 and 0.8125
        (scores_of(A=(5, 2, 1), B=(4, 5, 5)), ("A", "B")),  # a weight of 0 decides nothing
    ],
)
def test_the_best_total_is_chosen_and_a_tie_is_left_open(scores: Any, chosen: tuple[str, ...]) -> None:
    decision = read_scores(scores, ["A", "B"], RUBRIC)

    assert (decision.by, decision.chosen, decision.is_new) == ("judge", chosen, False)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (scores_of(A=(5, 5, 5)), r"candidate 'B', criterion 'noted' is missing"),
        (scores_of(A=(5, 5, 5), B=(1, 1, 1), C=(1, 1, 1)), r"candidate 'C', criterion 'right' is not"),
        ({"scores": scores_of(A=(5, 5, 5))["scores"] * 2}, r"score each candidate once on each criterion"),
        ({**scores_of(A=(5, 5, 5), B=(1, 1, 1)), "value": 1, "based_on": []}, r"`based_on` must name at least one"),
        ({**scores_of(A=(5, 5, 5), B=(1, 1, 1)), "value": 1, "based_on": ["C"]}, r"must name at least one of A, B"),
    ],
)
def test_scores_that_do_not_fit_the_candidates_are_refused_with_the_reason(scores: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_scores(scores, ["A", "B"], RUBRIC)


def test_a_new_value_names_the_candidates_it_rests_on() -> None:
    given = {**scores_of(A=(5, 5, 5), B=(1, 1, 1)), "value": 7, "based_on": ["B", "A", "B"]}
    model = scores_with_value(int)
    decision = read_scores(model.model_validate(given).model_dump(mode="json"), ["A", "B"], RUBRIC)

    assert (decision.value, decision.chosen, decision.is_new) == (7, ("B", "A"), True)
    assert issubclass(model, RubricScores)
    with pytest.raises(ValueError, match="value"):
        model.model_validate({**given, "value": "seven"})


@pytest.mark.parametrize("given", ["B", " B ", {"candidate": "B"}, CandidateChoice(candidate="B").model_dump()])
def test_a_tie_breaker_answers_a_label(given: Any) -> None:
    assert read_choice(given, ["A", "B"]).chosen == ("B",)


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(BadInput, match=r"choose one of A, B, got 'ann'"):
        read_choice("ann", ["A", "B"])


def test_the_judge_receives_the_criteria_without_the_weights() -> None:
    assert Rubric([Criterion("right", 3, "no error")]).context.value == {"right": "no error"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Criterion("right", -1), "`weight` must be finite and not negative, got -1"),
        (lambda: Criterion("right", float("nan")), "must be finite and not negative, got nan"),
        (lambda: Criterion(" "), "a criterion needs a name"),
        (lambda: Rubric([]), "at least one criterion whose weight is more than 0"),
        (lambda: Rubric([Criterion("a", 0)]), "at least one criterion whose weight is more than 0"),
        (lambda: Rubric([Criterion("a"), Criterion("a")]), "must be unique, these are used twice: a"),
        (lambda: Rubric(["right"]), "`criteria`"),  # type: ignore[list-item]
    ],
)
def test_a_rubric_is_checked_when_it_is_made(make: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        make()
