"""Planner, worker and writer of the research team that need no model: `offline:extractive`.

They are plain functions of a `Request`, made for `Agent(run=…)`. The same request always gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable

from guardgraph.research.compose import MADE_BY, compose
from guardgraph.research.extract import Claim, claims_of, question_weights
from guardgraph.research.library import Library
from guardgraph.research.parts import parts_of
from guardgraph.state import Gap, Outcome, Plan, Reply, Request, Subtask

__all__ = ("make_worker", "plan", "write")


def plan(request: Request) -> Plan:
    """Split the question into what it asks, at most five parts; later rounds add nothing."""
    question = request.task.goal
    if request.round > 1:
        return Plan(reasoning="the documents do not change between rounds")
    parts = parts_of(question)
    if len(parts) < 2:
        return Plan(subtasks=(Subtask(id="question", goal=question),), reasoning="the question asks one thing")
    subtasks = [Subtask(id=f"part-{number}", goal=part, priority=-number) for number, part in enumerate(parts, 1)]
    return Plan(subtasks=tuple(subtasks), reasoning="one subtask for each thing that the question asks")


def make_worker(library: Library, *, limit: int = 5, passages: int = 30) -> Callable[[Request], Reply]:
    """Return a worker that answers a subtask with at most `limit` claims out of the `passages` that fit it best.

    The reply's value is `{"claims": [{"text", "source", "line"}]}`, claim by claim with its evidence; it is `None`
    where nothing was found.
    """

    def work(request: Request) -> Reply:
        """Search the library and extract claims."""
        aside = request.task.goal if request.subtask else ""
        hits = library.search(request.goal, passages, kinds=["prose", "table"])
        weights, wider = (question_weights(text, rarity=library.weights) for text in (request.goal, aside))
        return _reply(claims_of(hits, weights, aside=wider, limit=limit) if hits else [])

    return work


def write(request: Request, *, made_by: str = MADE_BY) -> Reply | Outcome:
    """Compose the report out of the accepted results and the gaps; see `compose`.

    A report that leaves a question open is degraded, and has a gap for each.
    """
    report = compose(request.task.goal, request.results, request.gaps, made_by=made_by)
    if not report.open:
        return Reply(value=report.value, evidence=report.evidence)
    gaps = tuple(
        Gap(subtask=key, reason=f"nothing was found that answers {title!r}") for key, title in report.open.items()
    )
    return Outcome(status="degraded", value=report.value, evidence=report.evidence, gaps=gaps)


def _reply(claims: list[Claim]) -> Reply:
    if not claims:
        return Reply(confidence=0.0, reasoning="no sentence and no table row shares enough with the question")
    rows = [{"text": claim.text, "source": claim.evidence.source, "line": claim.line} for claim in claims]
    return Reply(
        value={"claims": rows},
        evidence=tuple(claim.evidence for claim in claims),
        confidence=round(max(claim.coverage for claim in claims), 3),
        reasoning="sentences of the documents that share the most words with the question, rare words counting more",
    )
