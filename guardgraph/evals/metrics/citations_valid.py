"""Whether every quote of an answer is at the line that its citation names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from guardgraph.evals.case import Case, Score
from guardgraph.guards import Grounding, SourceText, named_lines
from guardgraph.state import Evidence, Outcome

__all__ = ("CitationsValid",)

_MAX_REASONS = 3


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
        """Score the share of citations whose quote is at the named line."""
        if case.expected_status not in {"completed", "degraded"}:
            return None
        citations = outcome.value.get("citations") if isinstance(outcome.value, dict) else None
        if not isinstance(citations, list) or not citations:
            return Score(metric=self.name, value=0, passed=False, reason="the answer has no citations")
        checked = enumerate(map(self._objection, citations), start=1)
        wrong = [f"citation {number}: {objection}" for number, objection in checked if objection]
        more = f"; and {len(wrong) - _MAX_REASONS} more" if len(wrong) > _MAX_REASONS else ""
        value = (len(citations) - len(wrong)) / len(citations)
        return Score(metric=self.name, value=value, passed=not wrong, reason="; ".join(wrong[:_MAX_REASONS]) + more)

    def _objection(self, citation: Any) -> str | None:
        """Return what is wrong with one citation, if anything."""
        fields = cast(dict[str, Any], citation) if isinstance(citation, dict) else {}
        source, quote, lines = fields.get("source"), fields.get("quote"), named_lines(str(fields.get("line")))
        if not (isinstance(source, str) and source and isinstance(quote, str) and quote.strip() and lines):
            return f"needs source, line and quote: {citation!r:.200}"
        found = Grounding(self.sources).read(Evidence(source=source, quote=quote))
        if found is None:
            return f"{source!r} is not one of the sources"
        text = SourceText.of(found)
        if not text.has(lines):
            shown = lines.first if lines.first == lines.last else f"{lines.first}-{lines.last}"
            return f"{source!r} has {len(text.lines)} lines, not {shown}"
        return None if text.opens(quote, lines) else f"{quote[:80]!r} is not in {source!r} at line {lines.first}"
