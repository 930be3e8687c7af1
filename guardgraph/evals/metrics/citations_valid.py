"""Whether every citation of an answer stands where it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from guardgraph.evals.case import Case
from guardgraph.evals.score import Score
from guardgraph.guards import Grounding, Lines, SourceText, named_lines
from guardgraph.state import Evidence, Outcome

__all__ = ("CitationsValid",)

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class CitationsValid:
    """Pass an answer whose every citation opens at the quoted line; the score is the share of those that do.

    The citations are the list `value["citations"]`; each has `source`, `line` (a number, or a range as `12-14`) and
    `quote`. The quote must begin in that line of the source and go on verbatim, as `Grounding` reads it: in whole
    words, whatever its white space and the encoding of its accents. `sources` is a folder, a mapping from source names
    to texts, or a function from a name to a text (or `None`). An answer without citations fails. A case that expects
    an end without an answer (`refused`, `failed`, `escalated`) is not counted.
    """

    sources: str | Path | Mapping[str, str] | Callable[[str], str | None]
    name: str = "citations_valid"

    def __call__(self, case: Case, outcome: Outcome) -> Score | None:
        """Score the share of citations that stand where they say."""
        if case.expected_status not in {"completed", "degraded"}:
            return None
        found = outcome.value.get("citations") if isinstance(outcome.value, dict) else None
        if not isinstance(found, list) or not found:
            return Score(metric=self.name, value=0, passed=False, reason="the answer has no citations")
        wrong = [f"citation {number}: {objection}" for number, objection in self._objections(found)]
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        value = (len(found) - len(wrong)) / len(found)
        return Score(metric=self.name, value=value, passed=not wrong, reason="; ".join(wrong[:_SHOWN]) + more)

    def _objections(self, citations: Iterable[Any]) -> Iterable[tuple[int, str]]:
        for number, citation in enumerate(citations, start=1):
            objection = self._objection(citation)
            if objection:
                yield number, objection

    def _objection(self, citation: Any) -> str | None:
        if not isinstance(citation, dict):
            return f"is no object with source, line and quote: {citation!r:.80}"
        fields = cast(dict[str, Any], citation)
        source, quote, lines = fields.get("source"), fields.get("quote"), named_lines(str(fields.get("line")))
        if not (isinstance(source, str) and source and isinstance(quote, str) and quote.strip() and lines):
            return f"needs source, line and quote: {citation!r:.200}"
        text = Grounding(self.sources).read(Evidence(source=source, quote=quote))
        if text is None:
            return f"{source!r} is not one of the sources"
        return _misplaced(quote, text, source=source, lines=lines)


def _misplaced(quote: str, text: str, *, source: str, lines: Lines) -> str | None:
    read = SourceText.of(text)
    if not read.has(lines):
        shown = lines.first if lines.first == lines.last else f"{lines.first}-{lines.last}"
        return f"{source!r} has {len(read.lines)} lines, not {shown}"
    if not read.opens(quote, lines):
        return f"{quote[:80]!r} does not stand in {source!r} at line {lines.first}"
    return None
