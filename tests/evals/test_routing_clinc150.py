"""The shipped classifier on real queries: 22,500 of clinc150, with its ten domains as workers.

The same figures, with the 150 intents and with times: `python -m bench.routing`.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.measuring.data import public_data
from bench.measuring.peers import Missing
from bench.teams.desk import FALLBACK, Queries, guarded, queries_of
from guardgraph.evals import routing_report
from guardgraph.models.classifier import TextClassifier


@pytest.fixture(scope="module")
def queries() -> Queries:
    try:
        return queries_of(public_data("clinc150"), level="domains")
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def classifier(queries: Queries) -> TextClassifier:
    return TextClassifier.train(queries.train)


def test_domains_are_told_apart_and_most_of_what_is_out_of_scope_is_left_to_the_fallback(
    queries: Queries, classifier: TextClassifier
) -> None:
    settings: dict[str, Any] = {"workers": classifier.labels, "fallback": FALLBACK, "classifier": classifier}
    forced = routing_report(queries.test, **settings, threshold=0, margin=0)
    found = routing_report([*queries.test, *queries.test_out_of_scope], **settings)
    inside = routing_report(queries.test, **settings)

    assert forced.accuracy is not None
    assert forced.accuracy >= 0.965, "a linear support vector machine on TF-IDF is known to reach 0.955"
    assert found.out_of_scope_auroc is not None
    assert found.out_of_scope_auroc >= 0.94, "0.92 is known"
    (rung,) = [one for one in inside.rungs if one.rung == "classifier"]
    assert rung.accuracy is not None
    assert (inside.without_model, rung.accuracy) > (0.95, 0.98)
    assert {found.overlaps[0].first, found.overlaps[0].second} == {"meta", "small_talk"}


def test_every_request_is_answered_by_exactly_the_worker_that_was_decided_on(
    queries: Queries, classifier: TextClassifier
) -> None:
    graph = guarded(classifier)
    for text, _ in [*queries.test[::50], *queries.test_out_of_scope[::50]]:
        state = list(graph.stream({"task": text}, stream_mode="values"))[-1]

        assert state["outcome"].status == "completed"
        assert [result.agent for result in state["results"]] == [state["routing"][-1].worker]
