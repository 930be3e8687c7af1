from __future__ import annotations

import math
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.evals import RoutingReport, routing_report
from guardgraph.evals.auroc import auroc
from guardgraph.graphs import Rule
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, BadInput

WORKERS = ["billing", "sales", "shipping"]
RULES = [Rule.keywords("refund", worker="billing")]
SCORES = {
    "parcel": {"shipping": 0.9, "sales": 0.2, "billing": 0.1},
    "price": {"sales": 0.8, "billing": 0.3},
    "invoice": {"sales": 0.7, "billing": 0.5},  # wrong
    "order": {"sales": 0.6, "shipping": 0.58},  # too close
    "joke": {"sales": 0.2, "billing": 0.1},
    "weather": {"shipping": 0.95, "sales": 0.1},  # out of scope, and scored high
}
EXAMPLES = [
    ("a refund", "billing"),
    ("the parcel", "shipping"),
    ("the price", "sales"),
    ("the invoice", "billing"),
    ("the order", "sales"),
    ("a joke", None),
    ("the weather", None),
]


def classify(text: str) -> dict[str, float]:
    return next(scores for word, scores in SCORES.items() if word in text)


def report(examples: Any = EXAMPLES, **facts: Any) -> RoutingReport:
    given: dict[str, Any] = {
        "workers": WORKERS,
        "fallback": "general",
        "rules": RULES,
        "classifier": classify,
        **facts,
    }
    return routing_report(examples, **given)


def test_accuracy_and_share_of_each_rung() -> None:
    found = report()

    assert (found.examples, found.decided, found.right) == (7, 7, 4)
    assert {one.rung: (one.count, one.right) for one in found.rungs} == {
        "rule": (1, 1),
        "classifier": (4, 2),
        "model": (0, 0),
        "fallback": (2, 1),
    }
    assert found.accuracy == pytest.approx(4 / 7)
    assert found.without_model == pytest.approx(5 / 7)


def test_what_waits_for_a_model_is_counted_and_not_decided() -> None:
    asked: list[Any] = []
    found = report(model=Agent("model", run=asked.append))

    assert {
        one.rung: (one.count, one.right, one.accuracy) for one in found.rungs if one.rung in ("model", "fallback")
    } == {
        "model": (2, None, None),
        "fallback": (0, 0, None),
    }
    assert (found.decided, found.right) == (5, 3)
    assert asked == []


def test_a_model_is_run_where_that_is_asked_for() -> None:
    model = ScriptedModel(
        replies=lambda messages: '{"worker": "sales"}' if "order" in str(messages) else '{"worker": null}'
    )
    found = report(model=Agent("model", model=model), run_model=True)

    assert {one.rung: (one.count, one.right) for one in found.rungs} == {
        "rule": (1, 1),
        "classifier": (4, 2),
        "model": (1, 1),
        "fallback": (1, 1),
    }
    assert found.decided == 7
    assert model.calls == 2, "only for what the other rungs leave open"


def test_wrong_routes_are_confusions_and_every_worker_has_its_rates() -> None:
    found = report()

    assert {(one.expected, one.routed): one.count for one in found.confusions} == {
        ("billing", "sales"): 1,
        ("sales", "general"): 1,
        (None, "shipping"): 1,
    }
    rates = {one.worker: (one.examples, one.recall, one.precision) for one in found.workers}
    assert rates == {
        "billing": (2, 0.5, 1.0),
        "sales": (2, 0.5, 0.5),
        "shipping": (1, 1.0, 0.5),
        "general": (0, None, 0.0),
    }
    assert found.confusion_matrix() == {
        "billing": {"billing": 1, "sales": 1},
        "sales": {"sales": 1, "general": 1},
        "shipping": {"shipping": 1},
        "(none)": {"shipping": 1},
    }


def test_workers_that_are_confused_or_close_overlap() -> None:
    pairs = {(one.first, one.second): (one.confused, one.close, one.share) for one in report().overlaps}

    assert pairs == {
        ("billing", "sales"): (1, 0, pytest.approx(1 / 3)),  # of one scored example of billing, two of sales
        ("sales", "shipping"): (0, 1, pytest.approx(1 / 3)),
    }
    assert [pair for pair in report(margin=0).overlaps if pair.close] == []


def test_the_lead_collapses_where_the_classifier_cannot_tell_workers_apart() -> None:
    alike = report(EXAMPLES[1:5], classifier=lambda text: {"billing": 0.51, "sales": 0.5})

    assert alike.mean_lead == pytest.approx(0.01)
    assert report(EXAMPLES[1:5]).mean_lead == pytest.approx((0.7 + 0.5 + 0.2 + 0.02) / 4)
    assert report(EXAMPLES[:1]).mean_lead is None


def test_out_of_scope_examples_are_right_with_the_fallback_and_have_an_auroc() -> None:
    found = report()

    assert found.out_of_scope == 2
    assert found.out_of_scope_auroc == pytest.approx(4 / 8)  # 0.2 is below all four scores in scope, 0.95 above them
    assert report(EXAMPLES[:5]).out_of_scope_auroc is None
    assert report(classifier=None).out_of_scope_auroc is None


@pytest.mark.parametrize(
    ("costs", "cost"),
    [
        (None, None),
        ({}, 0),
        ({"sales": 2.5, "shipping": 4}, 6.5),
        ({("billing", "sales"): 10, (None, "shipping"): 1, ("shipping", "sales"): 99}, 11),
    ],
)
def test_wrong_routes_cost_what_they_are_given(costs: Any, cost: float | None) -> None:
    assert report(costs=costs).cost == cost


def test_the_table_and_the_json_show_the_same_figures() -> None:
    found = report(costs={"sales": 2.5})
    text, data = str(found), found.to_json()

    assert text.startswith("7 examples, 7 decided: 57.1% right (95 % interval 25.0% to 84.2%)")
    for line in (
        "rule        1         14.3%  100.0%",
        "(none)      shipping   1",
        "billing, sales       1         0      33.3%",
    ):
        assert line in text
    assert "2 out of scope, AUROC of the best score 0.500" in text
    assert "wrong routes cost 2.50, 0.3571 a request" in text
    assert data["accuracy"] == pytest.approx(4 / 7)
    assert data["rungs"][1] == {"rung": "classifier", "count": 4, "share": 4 / 7, "right": 2, "accuracy": 0.5}
    assert RoutingReport.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"examples": []}, "there are no examples"),
        ({"examples": ["text"]}, "example 0 is 'text'"),
        ({"examples": [("", "sales")]}, "a text that is not empty"),
        ({"examples": [("a", "nobody")]}, "example 0 belongs to 'nobody', which is no worker; there are: 'billing'"),
        ({"costs": {"nobody": 1}}, "`costs` has the key 'nobody'"),
        ({"costs": {("sales", None): 1}}, "`costs` has the key"),
        ({"costs": {"sales": -1}}, "must be a number that is not negative, got -1"),
        ({"costs": {"sales": math.nan}}, "must be a number that is not negative, got nan"),
    ],
)
def test_what_cannot_be_reported_on_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        report(**facts)


def test_settings_that_a_router_refuses_are_refused() -> None:
    with pytest.raises(BadGraph, match="`threshold` must be from 0 to 1"):
        report(threshold=2)


def test_auroc_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    positive, negative = [0.9, 0.4, 0.4, 0.7, 1.0], [0.4, 0.1, 0.7, 0.0]

    expected = metrics.roc_auc_score([1] * 5 + [0] * 4, positive + negative)
    assert auroc(positive, negative) == pytest.approx(expected)
    assert auroc([1.0], []) is None
