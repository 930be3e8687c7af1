"""A Markdown report out of accepted results, with numbered citations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from guardgraph.research.citation import citation_of, first_line, source_line
from guardgraph.state import ContextItem, Evidence

__all__ = ("MADE_BY", "Composed", "compose")

MADE_BY = (
    "Made by `offline:extractive`: sentences and table rows taken from the documents as they stand; "
    "no model wrote this report."
)
"""The line that tells how a report came about."""
_BRACKETS = re.compile(r"`[^`]*`|\[(?=\d+\])")


class Composed(NamedTuple):
    """A report and what it rests on."""

    value: dict[str, JsonValue]
    """`report` (Markdown) and `citations`; see `citation_of`."""
    evidence: tuple[Evidence, ...]
    """What is cited, in the order of the numbers."""
    open: dict[str, str]
    """The questions to which nothing was found, by the ids of their subtasks."""


class _Said(NamedTuple):
    text: str
    evidence: tuple[Evidence, ...]


def compose(
    question: str, results: Sequence[ContextItem], gaps: Sequence[ContextItem], *, made_by: str = MADE_BY
) -> Composed:
    """Return the report on `question`: a section for each result, its claims with citations, the gaps, the sources.

    A claim that stands in several results is told once, in the one where it stands highest; equal evidence has one
    number. Results are told in their order, the one for the question as a whole first. `made_by` tells how the report
    came about.
    """
    numbers: dict[Evidence, int] = {}
    ordered = [p for p in sorted(results, key=lambda p: _line(p.title) != _line(question)) if _has_something(p)]
    homes = _homes(ordered)
    sections = [_section(piece, question, numbers, at, homes) for at, piece in enumerate(ordered)]
    empty = [piece for piece in results if not _has_something(piece)]
    left = {piece.subtask or "question": _line(piece.title) for piece in empty}
    if not (sections or left):
        left = {"question": _line(question)}
    missing = _missing(left.values(), gaps)
    lines = [f"# {_bare(_line(question))}", "", made_by, ""]
    if not sections:
        lines += ["Nothing was found in the documents that answers the question.", ""]
    for section in sections:
        lines += [*section, ""]
    if missing:
        lines += ["## Not found", "", *missing, ""]
    if numbers:
        lines += ["## Sources", "", *(f"{source_line(number, one)}  " for one, number in numbers.items()), ""]
    citations: list[JsonValue] = [citation_of(number, one) for one, number in numbers.items()]
    return Composed({"report": "\n".join(lines).rstrip() + "\n", "citations": citations}, tuple(numbers), left)


def _homes(pieces: Sequence[ContextItem]) -> dict[str, int]:
    """Return for each claim the place of the piece in which it is told: where it stands highest, or else first."""
    ranked = [(rank, at, said.text) for at, piece in enumerate(pieces) for rank, said in enumerate(_said(piece))]
    return {text: at for _, at, text in sorted(ranked, reverse=True)}


def _section(
    piece: ContextItem, question: str, numbers: dict[Evidence, int], at: int, homes: Mapping[str, int]
) -> list[str]:
    title = "What the documents say" if _line(piece.title) == _line(question) else _capitalized(_line(piece.title))
    bullets: dict[str, str] = {}
    elsewhere: list[str] = []
    for said in _said(piece):
        marks = "".join(f"[{numbers.setdefault(one, len(numbers) + 1)}]" for one in said.evidence)
        if homes[said.text] != at:
            elsewhere += [marks] if marks else []
        else:
            bullets[said.text] = bullets.get(said.text, "") + marks
    also = [f"- See also {' '.join(sorted(set(elsewhere), key=_number_in))}."] if elsewhere else []
    return [f"## {_bare(title)}", "", *(f"- {_bare(text)} {marks}".rstrip() for text, marks in bullets.items()), *also]


def _said(piece: ContextItem) -> Iterator[_Said]:
    """Yield what a result says: its claims if it has the form of `make_worker`, else its value as a whole."""
    listed = piece.value.get("claims") if isinstance(piece.value, Mapping) else None
    if not isinstance(listed, list):
        yield _Said(_line(_text(piece.value)), tuple(dict.fromkeys(piece.evidence)))
        return
    claims = [claim for claim in listed if isinstance(claim, Mapping) and _line(str(claim.get("text", "")))]
    for at, claim in enumerate(claims):
        yield _Said(_line(str(claim["text"])), _evidence_of(claim, at, piece, count=len(claims)))


def _evidence_of(claim: Mapping[str, JsonValue], at: int, piece: ContextItem, *, count: int) -> tuple[Evidence, ...]:
    """Return the evidence of one claim: by its source and line, or else by its place in the list."""
    fits = [one for one in piece.evidence if one.source == claim.get("source") and first_line(one) == claim.get("line")]
    by_place = piece.evidence[at] if len(piece.evidence) == count else None
    if by_place is not None and (by_place in fits or not fits):
        return (by_place,)
    return tuple(fits[:1])


def _missing(left: Iterable[str], gaps: Sequence[ContextItem]) -> list[str]:
    """Return one line for each question that has no answer."""
    reasons = {_line(gap.title): _line(_text(gap.value)) or "it was not answered" for gap in gaps}
    reasons |= dict.fromkeys(left, "nothing was found that answers it")
    return [_bare(f"- {title}: {reason}") for title, reason in reasons.items()]


def _has_something(piece: ContextItem) -> bool:
    return any(said.text for said in _said(piece))


def _text(value: JsonValue) -> str:
    """Return a value for a reader: the one text in it that looks like an answer, else all of it."""
    if isinstance(value, Mapping):
        told = next((value[key] for key in ("reason", "answer", "text", "summary") if value.get(key)), None)
        return _text(told) if told is not None else ", ".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return "" if value is None else str(value)


def _number_in(mark: str) -> int:
    return int(mark[1:].partition("]")[0] or 0)


def _bare(text: str) -> str:
    """Return `text` without anything that reads like one of the report's own citations; code stays as it is."""
    return _BRACKETS.sub(lambda hit: hit[0] if hit[0][0] == "`" else f"\\{hit[0]}", text)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _line(text: str) -> str:
    return " ".join(text.split())
