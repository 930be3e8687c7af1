from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from guardgraph.graphs import Rule
from guardgraph.nodes.decisions.route import (
    Ladder,
    RouteChoice,
    checked_scores,
    decide_by_scores,
    decide_route,
    read_choice,
)
from guardgraph.state import BadGraph, BadInput, RoutingDecision, Task

WORKERS = ("billing", "shipping")


def decided(answer: Any, goal: str = "where is it", **facts: Any) -> RoutingDecision:
    """Return what is decided where the classifier answers this, or raises it."""

    def classify(text: str) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return decide_route(Ladder(WORKERS, classifier=classify, **facts), Task(goal=goal))


@pytest.mark.parametrize(
    ("scores", "worker"),
    [
        ({"billing": 0.5, "shipping": 0.4}, "billing"),  # at the threshold and at the margin
        ({"billing": 0.6, "shipping": 0.5}, "billing"),  # 0.6 - 0.5 is less than 0.1 in floating point
        ({"billing": 0.49, "shipping": 0.1}, None),
        ({"billing": 0.9, "shipping": 0.81}, None),
        ({"billing": 0.9, "shipping": 0.79}, "billing"),
        ({"billing": 0.5}, "billing"),
        ({"billing": 0.49}, None),
        ({"billing": 0.9, "shipping": 0.9}, None),
    ],
)
def test_scores_decide_from_the_threshold_and_the_margin_on(scores: Mapping[str, float], worker: str | None) -> None:
    assert decide_by_scores(scores, threshold=0.5, margin=0.1).worker == worker


def test_without_a_margin_the_first_of_equal_scores_is_the_best() -> None:
    assert decide_by_scores({"b": 0.7, "a": 0.7}, threshold=0.5, margin=0).worker == "b"


def test_a_rule_decides_before_the_classifier_is_asked() -> None:
    asked: list[str] = []
    rule = Rule.keywords("refund", worker="billing", name="refunds")
    ladder = Ladder(WORKERS, rules=(rule,), classifier=lambda text: asked.append(text) or {"shipping": 1.0})

    by_rule = decide_route(ladder, Task(goal="a refund"))
    by_classifier = decide_route(ladder, Task(goal="the parcel"))

    assert (by_rule.worker, by_rule.rung, by_rule.rule, by_rule.matched) == ("billing", "rule", "refunds", "refund")
    assert (by_classifier.worker, by_classifier.rung) == ("shipping", "classifier")
    assert asked == ["the parcel"]


def test_a_decision_has_the_highest_ten_scores_and_the_terms_that_drove_it() -> None:
    names = tuple(f"w{number}" for number in range(12))

    class Explaining:
        def __call__(self, text: str) -> dict[str, float]:
            return {name: number / 12 for number, name in enumerate(names)}

        def top_features(self, text: str, label: str) -> dict[str, float]:
            return {f"{label} {text}": 0.7}

    decision = decide_route(Ladder(names, classifier=Explaining(), margin=0), Task(goal="hello"))

    assert decision.worker == "w11"
    assert list(decision.scores) == [f"w{number}" for number in range(11, 1, -1)]
    assert decision.terms == {"w11 hello": 0.7}
    assert decision.confidence == pytest.approx(11 / 12)
    assert decision.reason == "the classifier scores 'w11' with 0.92"


def test_terms_that_cannot_be_read_are_a_problem_and_change_no_decision() -> None:
    class Broken:
        def __call__(self, text: str) -> dict[str, float]:
            return {"billing": 0.9}

        def top_features(self, text: str, label: str) -> Any:
            raise KeyError("terms")

    decision = decide_route(Ladder(WORKERS, classifier=Broken()), Task(goal="g"))

    assert decision.worker == "billing"
    assert decision.problems == ("`top_features` of the classifier raised KeyError: 'terms'",)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (ValueError("no model"), "the classifier raised ValueError: no model"),
        (SystemExit(2), "the classifier raised SystemExit"),
        (None, "the classifier returned a NoneType, which is no mapping of workers to scores"),
        ("billing", "the classifier returned a str"),
        ({}, "the classifier returned a dict"),
        ({"sales": 0.9}, "the classifier scores 'sales', which is no worker; there are: 'billing', 'shipping'"),
        ({"billing": 0.9, "sales": 0.1}, "the classifier scores 'sales'"),
        ({"billing": math.nan}, "the classifier scores 'billing' with nan, which is no number from 0 to 1"),
        ({"billing": 1.01}, "with 1.01, which is no number"),
        ({"billing": -0.1}, "with -0.1, which is no number"),
        ({"billing": math.inf}, "with inf, which is no number"),
        ({"billing": True}, "with True, which is no number"),
        ({"billing": "0.9"}, "with '0.9', which is no number"),
        ({"billing": None}, "with None, which is no number"),
        ({"billing": 10**400}, "which is no number"),
    ],
)
def test_a_classifier_that_fails_decides_nothing_and_is_recorded(answer: Any, problem: str) -> None:
    decision = decided(answer)

    assert (decision.worker, decision.rung) == (None, "classifier")
    assert decision.scores == {}
    assert len(decision.problems) == 1
    assert problem in decision.problems[0]


def test_scores_of_other_number_types_are_taken() -> None:
    numpy = pytest.importorskip("numpy")

    assert checked_scores({"billing": numpy.float32(0.5), "shipping": 0}, WORKERS) == {"billing": 0.5, "shipping": 0.0}


def test_without_a_rung_that_decides_there_is_no_worker() -> None:
    decision = decide_route(Ladder(WORKERS, rules=(Rule.keywords("refund", worker="billing"),)), Task(goal="hello"))

    assert decision == RoutingDecision(rung="rule", reason="no rule matched", trusted=True)


def test_users_code_is_called_by_what_is_given_for_it() -> None:
    calls: list[str] = []

    def call(work: Any) -> Any:
        calls.append("call")
        raise TimeoutError("too slow")

    rules = (Rule.keywords("a", worker="billing"), Rule.when(lambda task: True, worker="billing", name="any"))
    decision = decide_route(Ladder(WORKERS, rules, lambda text: {"billing": 1.0}), Task(goal="g"), call=call)

    assert len(calls) == 2
    assert decision.worker is None
    assert decision.problems == (
        "the rules could not be tried: too slow",
        "the classifier raised TimeoutError: too slow",
    )


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        ("billing", RouteChoice(worker="billing")),
        ({"worker": "billing", "reason": "money"}, RouteChoice(worker="billing", reason="money")),
        (None, RouteChoice(worker=None)),
        ({"worker": None, "confidence": 0.2}, RouteChoice(worker=None, confidence=0.2)),
        ({"worker": "billing", "confidence": 7}, RouteChoice(worker="billing")),
    ],
)
def test_a_choice_is_read_as_a_name_or_as_fields(answer: Any, choice: RouteChoice) -> None:
    assert read_choice(answer, WORKERS) == choice


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("sales", "'sales' is no worker; choose one of 'billing', 'shipping'"),
        ({"worker": "sales"}, "'sales' is no worker"),
        ({"agent": "billing"}, "this is no choice of a worker"),
        (["billing"], "this is no choice of a worker"),
    ],
)
def test_what_is_no_choice_is_named(answer: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_choice(answer, WORKERS)


async def slow(text: str) -> dict[str, float]:
    return {}


class AsyncCall:
    async def __call__(self, text: str) -> dict[str, float]:
        return {}


class Knows:
    labels = ("billing", "sales")

    def __call__(self, text: str) -> dict[str, float]:
        return {}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"threshold": 1.01}, "`threshold` must be from 0 to 1, got 1.01"),
        ({"threshold": -0.01}, "`threshold` must be from 0 to 1"),
        ({"threshold": math.nan}, "`threshold` must be from 0 to 1, got nan"),
        ({"threshold": "high"}, "`threshold` must be float"),
        ({"margin": -0.1}, "`margin` must be from 0 to 1, got -0.1"),
        ({"margin": math.nan}, "`margin` must be from 0 to 1"),
        ({"timeout": 0}, "`timeout` must be more than 0 seconds"),
        ({"timeout": math.nan}, "`timeout` must be more than 0 seconds"),
        ({"classifier": "tfidf"}, "`classifier` must be a function of a text"),
        ({"classifier": Knows}, "`classifier` must be a function of a text"),
        ({"classifier": slow}, "`classifier` must not be async"),
        ({"classifier": AsyncCall()}, "`classifier` must not be async"),
        ({"classifier": Knows()}, "the classifier scores 'sales', which is no worker; there are: 'billing'"),
        ({"rules": (Rule.keywords("a", worker="sales"),)}, "names the worker 'sales', which is unknown"),
        (
            {"rules": (Rule.keywords("a", worker="billing"), Rule.keywords("a", worker="shipping"))},
            "names of rules must be unique, these are used twice: 'keywords: a'",
        ),
    ],
)
def test_a_ladder_that_does_not_fit_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        Ladder(WORKERS, **facts)


@pytest.mark.parametrize("facts", [{"threshold": 0, "margin": 0}, {"threshold": 1, "margin": 1}, {"timeout": None}])
def test_the_bounds_themselves_are_allowed(facts: dict[str, Any]) -> None:
    assert Ladder(WORKERS, **facts)
