"""A router on the 22,500 queries of clinc150: `python -m bench.routing`.

The classifier is trained on the split `train` (with and without the 100 queries out of scope of `oos_train`), and
everything is measured on `test` and `oos_test`, at the default threshold and margin: nothing is tuned on them. Then
every request of the test goes through a router of functions, and exactly one worker must have answered it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.data import public_data
from bench.measuring.options import common_options
from bench.measuring.peers import Missing
from bench.measuring.report import Report, show
from bench.teams.desk import FALLBACK, Examples, Queries, by_hand, guarded, queries_of
from guardgraph.evals import routing_report
from guardgraph.evals.report import in_columns
from guardgraph.models.classifier import TextClassifier

_THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
_VERSIONS = ("guardgraph", "langgraph", "scikit-learn", "numpy")
_REQUEST, _OURS, _PEER, _ALONE = "ms a request", "guardgraph", "LangGraph by hand", "the classifier alone"


@click.command(help=__doc__)
@click.option("--requests", type=click.IntRange(min=1), default=200, show_default=True, help="In one measurement.")
@common_options(rounds=7)
def main(requests: int, rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    try:
        folder = public_data("clinc150")
    except Missing as reason:
        click.echo(f"left out: {reason}")
        return
    found: dict[str, Any] = {}
    reports: list[Report] = []
    for level in ("domains", "intents"):
        queries = queries_of(folder, level=level)
        classifiers = {
            "train": TextClassifier.train(queries.train),
            "train and oos_train": TextClassifier.train([*queries.train, *queries.train_out_of_scope]),
        }
        rows = {name: _quality(classifier, queries) for name, classifier in classifiers.items()}
        classifier = classifiers["train and oos_train"]
        found[level] = {
            "classifiers": rows,
            "thresholds": {threshold: _at(classifier, queries, threshold) for threshold in _THRESHOLDS},
            "dropped": _dropped(classifier, queries),
        }
        if not as_json:
            _print_level(level, found[level], classifier, queries)
        title = f"One request, {level}, {requests} requests a measurement"
        reports.append(Report(title, compete(_contestants(classifier, queries, requests), rounds=rounds), _compared()))
    if as_json:
        click.echo(json.dumps({"routing": found, "reports": [report.to_json() for report in reports]}, indent=2))
    else:
        show(reports, versions=_VERSIONS, as_json=False)


def _report(classifier: TextClassifier, examples: Examples, threshold: float = 0.5, margin: float = 0.1) -> Any:
    return routing_report(
        examples,
        workers=classifier.labels,
        fallback=FALLBACK,
        classifier=classifier,
        threshold=threshold,
        margin=margin,
    )


def _quality(classifier: TextClassifier, queries: Queries) -> Mapping[str, float]:
    """Return how good the classifier is where it may not abstain, and how well it finds what is out of scope."""
    forced = _report(classifier, queries.test, threshold=0, margin=0)
    both = _report(classifier, [*queries.test, *queries.test_out_of_scope])
    return {"accuracy": forced.accuracy, "out-of-scope AUROC": both.out_of_scope_auroc}


def _at(classifier: TextClassifier, queries: Queries, threshold: float) -> Mapping[str, float]:
    """Return what the classifier decides without a model at a threshold."""
    inside = _report(classifier, queries.test, threshold)
    outside = _report(classifier, queries.test_out_of_scope, threshold)
    (rung,) = [one for one in inside.rungs if one.rung == "classifier"]
    return {
        "in scope decided": inside.without_model,
        "accuracy of those": rung.accuracy,
        "out of scope decided": outside.without_model,
    }


def _dropped(classifier: TextClassifier, queries: Queries) -> int:
    """Return how many requests of the test were not answered by exactly one worker, the one that was decided on."""
    graph, dropped = guarded(classifier), 0
    for text, _ in (*queries.test, *queries.test_out_of_scope):
        state = list(graph.stream({"task": text}, stream_mode="values"))[-1]
        workers = [result.agent for result in state["results"]]
        ended = state["outcome"].status == "completed" and state["outcome"].value == state["routing"][-1].worker
        dropped += not (ended and workers == [state["routing"][-1].worker])
    return dropped


def _contestants(classifier: TextClassifier, queries: Queries, requests: int) -> list[Contestant]:
    texts = [text for text, _ in queries.test][:: max(len(queries.test) // requests, 1)][:requests]
    ours, peer = guarded(classifier), by_hand(classifier)
    calls: Mapping[str, Callable[[str], Any]] = {
        _OURS: lambda text: ours.invoke({"task": text}),
        _PEER: lambda text: peer.invoke({"task": text}),
        _ALONE: classifier,
    }
    return [Contestant(name, _timing(call, texts)) for name, call in calls.items()]


def _timing(call: Callable[[str], Any], texts: Sequence[str]) -> Callable[[], Mapping[str, float]]:
    def measure() -> Mapping[str, float]:
        begun = time.process_time()
        for text in texts:
            call(text)
        return {_REQUEST: (time.process_time() - begun) / len(texts) * 1000}

    return measure


def _compared() -> list[Comparison]:
    return [Comparison(_OURS, _PEER, _REQUEST)]


def _print_level(level: str, found: Mapping[str, Any], classifier: TextClassifier, queries: Queries) -> None:
    click.echo(f"\n{len(classifier.labels)} workers ({level})\n")
    rows = [(name, *(f"{value:.3f}" for value in row.values())) for name, row in found["classifiers"].items()]
    click.echo("\n".join(in_columns([("trained on", "accuracy", "out-of-scope AUROC"), *rows])) + "\n")
    rows = [(f"{name}", *(f"{value:.1%}" for value in row.values())) for name, row in found["thresholds"].items()]
    head = ("threshold", "in scope decided", "accuracy of those", "out of scope decided")
    click.echo("\n".join(in_columns([head, *rows])) + "\n")
    click.echo(_report(classifier, [*queries.test, *queries.test_out_of_scope]))
    requests = len(queries.test) + len(queries.test_out_of_scope)
    click.echo(f"\n{found['dropped']} of {requests} requests were not answered by exactly the worker decided on\n")


if __name__ == "__main__":
    main()
