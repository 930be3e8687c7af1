"""Planner, worker and writer of the research team that need no model: `offline:extractive`.

They are plain functions of a `Request`, made for `Agent(run=…)`. The same request always gets the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from guardgraph.runs.research.compose import compose
from guardgraph.runs.research.extract import Claim, claims_of, question_weights
from guardgraph.runs.research.library import Library
from guardgraph.runs.research.terms import WORD, content_words, terms_of
from guardgraph.state import Plan, Reply, Request, Subtask

__all__ = ("make_worker", "plan", "write")

_MOST_PARTS = 3
_CLAUSE = re.compile(
    r"[?!.;:]+(?=\s|$)|,\s+(?:and|or|but)?\b|\s+(?:and|or|but|versus|vs\.?|as well as)\s+|\s+[-\u2013\u2014]+\s+|\n+",
    re.IGNORECASE,
)


def plan(request: Request) -> Plan:
    """Split the question into itself and up to three of its clauses; later rounds add nothing."""
    question = request.task.goal
    if request.round > 1:
        return Plan(reasoning="the documents do not change between rounds")
    parts = _parts(question)
    whole = Subtask(id="question", goal=question, priority=len(parts) + 1)
    rest = [
        Subtask(id=f"part-{number}", goal=part, priority=len(parts) + 1 - number)
        for number, part in enumerate(parts, 1)
    ]
    return Plan(subtasks=(whole, *rest), reasoning="the question as a whole, and each of its parts")


def make_worker(library: Library, *, limit: int = 5, passages: int = 30) -> Callable[[Request], Reply]:
    """Return a worker that answers a subtask with at most `limit` claims out of the `passages` that fit it best.

    The reply's value is `{"claims": [{"text", "source", "line"}]}`, claim by claim with its evidence; it is `None`
    where the documents say nothing on the subtask.
    """

    def work(request: Request) -> Reply:
        """Search the library and extract claims."""
        aside = request.task.goal if request.subtask else ""
        hits = library.search(request.goal, passages, kind="prose")
        weights = question_weights(request.goal, aside, rarity=library.weights)
        return _reply(claims_of(hits, weights, limit=limit) if hits else [])

    return work


def write(request: Request) -> Reply:
    """Compose the report out of the accepted results and the gaps; see `compose`."""
    report = compose(request.task.goal, request.results, request.gaps)
    return Reply(value=report.value, evidence=report.evidence)


def _reply(claims: list[Claim]) -> Reply:
    if not claims:
        return Reply(confidence=0.0, reasoning="no sentence of the documents shares enough with the question")
    rows = [{"text": claim.text, "source": claim.evidence.source, "line": claim.line} for claim in claims]
    return Reply(
        value={"claims": rows},
        evidence=tuple(claim.evidence for claim in claims),
        confidence=round(max(claim.coverage for claim in claims), 3),
        reasoning="sentences of the documents that share the most words with the question, rare words counting more",
    )


def _parts(question: str) -> list[str]:
    """Return up to three clauses of `question`, or phrases of it if it has one clause only."""
    clauses = _distinct([clause.strip(" \t,.?!;:\"'") for clause in _CLAUSE.split(question)], question)
    return (clauses if len(clauses) > 1 else _distinct(_phrases(question), question))[:_MOST_PARTS]


def _phrases(question: str) -> list[str]:
    """Return the longest runs of two words or more that carry meaning, in the order of the question."""
    meaning = set(content_words(question))
    runs: list[list[str]] = [[]]
    for word in WORD.findall(question):
        if word.lower() in meaning:
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    longest = sorted(filter(None, runs), key=len, reverse=True)[:_MOST_PARTS]
    return [" ".join(run) for run in runs if run in longest and len(run) > 1]


def _distinct(parts: list[str], question: str) -> list[str]:
    """Return the parts that say something, and neither the same as one before nor as the whole question."""
    seen = {terms_of(question)}
    kept: list[str] = []
    for part in parts:
        terms = terms_of(part)
        if terms and terms not in seen and any(map(str.isalnum, part)):
            seen.add(terms)
            kept.append(part)
    return kept
