"""One router over the queries of clinc150, on guardgraph and by hand on LangGraph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import router
from guardgraph.models.classifier import TextClassifier

__all__ = ("FALLBACK", "Examples", "Queries", "by_hand", "guarded", "queries_of")

FALLBACK = "general"
Examples = list[tuple[str, str | None]]


class Queries(NamedTuple):
    """Pairs of a query and its worker; those of `out_of_scope` belong to no worker."""

    train: Examples
    train_out_of_scope: Examples
    test: Examples
    test_out_of_scope: Examples


def queries_of(folder: Path, *, level: str) -> Queries:
    """Return the queries of clinc150 with a worker for each of its 150 `intents`, or of its 10 `domains`."""
    data = json.loads((folder / "data_full.json").read_text(encoding="utf-8"))
    domains = json.loads((folder / "domains.json").read_text(encoding="utf-8"))
    domain_of = {intent: domain for domain, intents in domains.items() for intent in intents}

    def named(split: str) -> Examples:
        return [(text, domain_of[intent] if level == "domains" else intent) for text, intent in data[split]]

    def unnamed(split: str) -> Examples:
        return [(text, None) for text, _ in data[split]]

    return Queries(named("train"), unnamed("oos_train"), named("test"), unnamed("oos_test"))


def guarded(classifier: TextClassifier) -> Any:
    """Return a router whose workers answer their own names, compiled."""
    return router(
        [_worker(name) for name in classifier.labels], fallback=_worker(FALLBACK), classifier=classifier
    ).compile()


def _worker(name: str) -> Agent:
    return Agent(name, run=lambda request: name)


class _State(TypedDict):
    task: str
    worker: str
    answer: str


def by_hand(classifier: TextClassifier, *, threshold: float = 0.5, margin: float = 0.1) -> Any:
    """Return the same by hand: no guards, no budget, no stored decision, no fallback for a worker that fails."""

    def route(state: _State) -> Mapping[str, str]:
        scores = sorted(classifier(state["task"]).items(), key=lambda item: -item[1])
        (best, top), (_, second) = scores[:2]
        return {"worker": best if top >= threshold and top - second >= margin else FALLBACK}

    graph: Any = StateGraph(_State)
    graph.add_node("route", route)
    graph.add_edge(START, "route")
    names: Sequence[str] = (*classifier.labels, FALLBACK)
    for name in names:
        graph.add_node(name, _answering(name))
        graph.add_edge(name, END)
    graph.add_conditional_edges("route", lambda state: state["worker"], list(names))
    return graph.compile()


def _answering(name: str) -> Any:
    return lambda state: {"answer": name}
