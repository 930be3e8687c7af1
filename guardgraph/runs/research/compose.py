"""A Markdown report out of accepted results, with numbered citations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from guardgraph.state import Evidence, Piece

__all__ = ("MADE_BY", "Composed", "compose")

MADE_BY = "Made by `offline:extractive`: sentences taken from the documents as they stand; no model wrote this report."
"""The line that tells how a report came about."""
_QUOTE_LENGTH = 160
_BRACKETS = re.compile(r"`[^`]*`|\[(?=\d+\])")
_FIRST_LINE = re.compile(r"^(?:L|lines? )?(\d+)", re.IGNORECASE)


class Composed(NamedTuple):
    """A report and what it rests on."""

    value: dict[str, JsonValue]
    """`report` (Markdown) and `citations`, each with `number`, `source`, `line` (`None` if unknown) and `quote`."""
    evidence: tuple[Evidence, ...]
    """What is cited, in the order of the numbers."""


class _Said(NamedTuple):
    text: str
    evidence: tuple[Evidence, ...]


def compose(question: str, results: Sequence[Piece], gaps: Sequence[Piece]) -> Composed:
    """Return the report on `question`: a section for each result, its claims with citations, the gaps, the sources.

    A claim that stands in several results is told once, where it stands first; equal evidence has one number. Results
    are told in their order, the one for the question as a whole first.
    """
    numbers: dict[Evidence, int] = {}
    told: set[str] = set()
    ordered = sorted(results, key=lambda piece: _line(piece.title) != _line(question))
    sections = [_section(piece, question, numbers, told) for piece in ordered if _has_something(piece)]
    missing = _missing([piece for piece in results if not _has_something(piece)], gaps)
    lines = [f"# {_bare(_line(question))}", "", MADE_BY, ""]
    if not sections:
        lines += ["Nothing was found in the documents.", ""]
    for section in sections:
        lines += [*section, ""]
    if missing:
        lines += ["## Not found", "", *missing, ""]
    if numbers:
        lines += ["## Sources", "", *(f"{_source(number, one)}  " for one, number in numbers.items()), ""]
    citations: list[JsonValue] = [_citation(number, one) for one, number in numbers.items()]
    return Composed({"report": "\n".join(lines).rstrip() + "\n", "citations": citations}, tuple(numbers))


def _section(piece: Piece, question: str, numbers: dict[Evidence, int], told: set[str]) -> list[str]:
    title = "In short" if _line(piece.title) == _line(question) else _capitalized(_line(piece.title))
    bullets: list[str] = []
    repeated: list[str] = []
    for said in _said(piece):
        marks = "".join(f"[{numbers.setdefault(one, len(numbers) + 1)}]" for one in said.evidence)
        if said.text in told:
            repeated += [marks] if marks else []
        else:
            told.add(said.text)
            bullets.append(f"- {_bare(said.text)} {marks}".rstrip())
    also = [f"- See also {' '.join(sorted(set(repeated), key=_number_in))} above."] if repeated else []
    return [f"## {_bare(title)}", "", *bullets, *also]


def _said(piece: Piece) -> Iterator[_Said]:
    """Yield what a result says: its claims if it has the form of `make_worker`, else its value as a whole."""
    listed = piece.value.get("claims") if isinstance(piece.value, Mapping) else None
    if not isinstance(listed, list):
        yield _Said(_line(_text(piece.value)), tuple(dict.fromkeys(piece.evidence)))
        return
    claims = [claim for claim in listed if isinstance(claim, Mapping) and _line(str(claim.get("text", "")))]
    for at, claim in enumerate(claims):
        yield _Said(_line(str(claim["text"])), _evidence_of(claim, at, piece, count=len(claims)))


def _evidence_of(claim: Mapping[str, JsonValue], at: int, piece: Piece, *, count: int) -> tuple[Evidence, ...]:
    """Return the evidence of one claim: by its source and line, or else by its place in the list."""
    fits = [
        one
        for one in piece.evidence
        if one.source == claim.get("source") and _first_line(one.locator) == claim.get("line")
    ]
    by_place = piece.evidence[at] if len(piece.evidence) == count else None
    if by_place is not None and (by_place in fits or not fits):
        return (by_place,)
    return tuple(fits[:1])


def _missing(empty: Sequence[Piece], gaps: Sequence[Piece]) -> list[str]:
    lines = [f"- {_bare(_line(piece.title))}: the documents say nothing on it." for piece in empty]
    for gap in gaps:
        reason = _line(_text(gap.value)) or "it was not answered"
        lines.append(_bare(f"- {_line(gap.title)}: {reason}"))
    return list(dict.fromkeys(lines))


def _has_something(piece: Piece) -> bool:
    return any(said.text for said in _said(piece))


def _text(value: JsonValue) -> str:
    """Return a value for a reader: the one text in it that looks like an answer, else all of it."""
    if isinstance(value, Mapping):
        told = next((value[key] for key in ("reason", "answer", "text", "summary") if value.get(key)), None)
        return _text(told) if told is not None else ", ".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "; ".join(map(_text, value))
    return "" if value is None else str(value)


def _source(number: int, evidence: Evidence) -> str:
    quote = _line(evidence.quote)
    shown = quote if len(quote) <= _QUOTE_LENGTH else quote[:_QUOTE_LENGTH].rsplit(" ", 1)[0] + "…"
    line = _first_line(evidence.locator)
    place = evidence.source if line is None else f"{evidence.source}:{line}"
    return f'[{number}] {_line(place)} "{shown}"'


def _citation(number: int, evidence: Evidence) -> JsonValue:
    line = _first_line(evidence.locator)
    return {"number": number, "source": evidence.source, "line": line, "quote": evidence.quote}


def _first_line(locator: str) -> int | None:
    match = _FIRST_LINE.match(locator.strip())
    return int(match[1]) if match else None


def _number_in(mark: str) -> int:
    return int(mark[1:].partition("]")[0] or 0)


def _bare(text: str) -> str:
    """Return `text` without anything that reads like one of the report's own citations; code stays as it is."""
    return _BRACKETS.sub(lambda hit: hit[0] if hit[0][0] == "`" else f"\\{hit[0]}", text)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _line(text: str) -> str:
    return " ".join(text.split())
