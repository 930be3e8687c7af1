"""Planner, worker and writer of the research team that need no model: `offline:extractive`.

They are plain functions of a `Request`, made for `Agent(run=…)`. The same request always gets the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from guardgraph.research.extract import Claim, claims_of, question_weights
from guardgraph.research.library import Library
from guardgraph.research.report import build_report, claims_value, escape_marks, first_line, on_one_line
from guardgraph.state import ContextItem, Evidence, Gap, Outcome, Plan, Reply, Request, Subtask
from guardgraph.text.parts import parts_of

__all__ = ("MADE_BY", "Composed", "compose", "make_worker", "plan", "write")

MADE_BY = (
    "Made by `offline:extractive`: sentences and table rows copied from the documents verbatim; "
    "no model wrote this report."
)
"""The line that states how a report was made."""


def plan(request: Request) -> Plan:
    """Split the question into at most five parts; later rounds add nothing."""
    question = request.task.goal
    if request.round > 1:
        return Plan(reasoning="the documents do not change between rounds")
    parts = parts_of(question)
    if len(parts) < 2:
        return Plan(subtasks=(Subtask(id="question", goal=question),), reasoning="the question has one part")
    subtasks = [Subtask(id=f"part-{number}", goal=part, priority=-number) for number, part in enumerate(parts, 1)]
    return Plan(subtasks=tuple(subtasks), reasoning="one subtask for each part of the question")


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


def write(request: Request, *, made_by: str = MADE_BY, unread: Sequence[str] = ()) -> Reply | Outcome:
    """Compose the report from the accepted results and the gaps; see `compose`.

    A report that leaves a question open is degraded, and has a gap for each.
    """
    report = compose(request.task.goal, request.results, request.gaps, made_by=made_by, unread=unread)
    if not report.open:
        return Reply(value=report.value, evidence=report.evidence)
    gaps = tuple(
        Gap(subtask=key, reason=f"nothing was found that answers {title!r}") for key, title in report.open.items()
    )
    return Outcome(status="degraded", value=report.value, evidence=report.evidence, gaps=gaps)


def _reply(claims: list[Claim]) -> Reply:
    if not claims:
        return Reply(confidence=0.0, reasoning="no sentence and no table row shares enough with the question")
    return Reply(
        value=claims_value((claim.text, claim.evidence) for claim in claims),
        evidence=tuple(claim.evidence for claim in claims),
        confidence=round(max(claim.coverage for claim in claims), 3),
        reasoning="sentences of the documents that share the most words with the question, rare words counting more",
    )


class Composed(NamedTuple):
    """A report and its evidence."""

    value: dict[str, JsonValue]
    """`report` (Markdown) and `citations`; see `build_report`."""
    evidence: tuple[Evidence, ...]
    """What is cited, in the order of the numbers."""
    open: dict[str, str]
    """The questions to which nothing was found, by the ids of their subtasks."""


class _Claim(NamedTuple):
    text: str
    evidence: tuple[Evidence, ...]


def compose(
    question: str,
    results: Sequence[ContextItem],
    gaps: Sequence[ContextItem],
    *,
    made_by: str = MADE_BY,
    unread: Sequence[str] = (),
) -> Composed:
    """Return the report on `question`: a section for each result, its claims with citations, the gaps, the sources.

    A claim in several results is listed once, in the one that ranks it highest; equal evidence has one number. The
    result for the question as a whole comes first, the others in their order. See `build_report` for the rest.
    """
    title = on_one_line(question)
    ordered = sorted(results, key=lambda result: on_one_line(result.title) != title)
    found = [(on_one_line(result.title), claims) for result in ordered if (claims := _claims_in(result))]
    unanswered = {one.subtask or "question": on_one_line(one.title) for one in results if not _claims_in(one)}
    if not (found or unanswered):
        unanswered = {"question": title}
    ranks = [(rank, at, claim.text) for at, (_, claims) in enumerate(found) for rank, claim in enumerate(claims)]
    homes = {text: at for _, at, text in sorted(ranks, reverse=True)}
    numbers: dict[Evidence, int] = {}
    lines = [] if found else ["Nothing was found in the documents that answers the question.", ""]
    for at, (heading, claims) in enumerate(found):
        shown = "What the documents say" if heading == title else heading[:1].upper() + heading[1:]
        own = {text for text, home in homes.items() if home == at}
        lines += [f"## {escape_marks(shown)}", "", *_bullets(claims, own, numbers), ""]
    if missing := _missing(unanswered.values(), gaps):
        lines += ["## Not found", "", *missing, ""]
    value = build_report(question, lines[:-1], list(numbers), made_by=made_by, unread=unread)
    return Composed(value, tuple(numbers), unanswered)


def _bullets(claims: Iterable[_Claim], own: set[str], numbers: dict[Evidence, int]) -> list[str]:
    """Return the lines of a section; claims that are not its `own` are only referred to."""
    bullets: dict[str, str] = {}
    others: set[int] = set()
    for claim in claims:
        cited = [numbers.setdefault(one, len(numbers) + 1) for one in claim.evidence]
        if claim.text in own:
            bullets[claim.text] = bullets.get(claim.text, "") + "".join(f"[{number}]" for number in cited)
        else:
            others.update(cited)
    also = [f"- See also {' '.join(f'[{number}]' for number in sorted(others))}."] if others else []
    return [*(f"- {escape_marks(text)} {marks}".rstrip() for text, marks in bullets.items()), *also]


def _claims_in(result: ContextItem) -> list[_Claim]:
    """Return the claims of a result in the form of `claims_value`; any other value as one claim."""
    listed = result.value.get("claims") if isinstance(result.value, Mapping) else None
    if not isinstance(listed, list):
        text = on_one_line(_text(result.value))
        return [_Claim(text, tuple(dict.fromkeys(result.evidence)))] if text else []
    claims = [claim for claim in listed if isinstance(claim, Mapping) and on_one_line(str(claim.get("text", "")))]
    has_one_each = len(result.evidence) == len(claims)
    return [
        _Claim(on_one_line(str(claim["text"])), _evidence_of(claim, result, at if has_one_each else None))
        for at, claim in enumerate(claims)
    ]


def _evidence_of(claim: Mapping[str, JsonValue], result: ContextItem, index: int | None) -> tuple[Evidence, ...]:
    """Return the evidence of one claim: by its source and line, or else by its index."""
    fits = [one for one in result.evidence if (one.source, first_line(one)) == (claim.get("source"), claim.get("line"))]
    if index is not None and (result.evidence[index] in fits or not fits):
        return (result.evidence[index],)
    return tuple(fits[:1])


def _missing(unanswered: Iterable[str], gaps: Sequence[ContextItem]) -> list[str]:
    """Return one line for each question without an answer."""
    reasons = {on_one_line(gap.title): on_one_line(_text(gap.value)) or "it was not answered" for gap in gaps}
    reasons |= dict.fromkeys(unanswered, "nothing was found that answers it")
    return [escape_marks(f"- {title}: {reason}") for title, reason in reasons.items()]


def _text(value: JsonValue) -> str:
    """Return a value for a reader: the first text in it that looks like an answer, else all of it."""
    if isinstance(value, Mapping):
        answers = [value[key] for key in ("reason", "answer", "text", "summary") if value.get(key)]
        return _text(answers[0]) if answers else ", ".join(f"{key}: {_text(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return "" if value is None else str(value)
