"""How evidence is cited in a report."""

from __future__ import annotations

from pydantic import JsonValue

from guardgraph.guards import named_lines
from guardgraph.state import Evidence

__all__ = ("citation_of", "first_line", "source_line")

_QUOTE_LENGTH = 160


def citation_of(number: int, evidence: Evidence) -> dict[str, JsonValue]:
    """Return a citation as data: `number`, `source`, `line`, `last_line` (both `None` if unknown) and `quote`."""
    first, last = _lines(evidence)
    return {"number": number, "source": evidence.source, "line": first, "last_line": last, "quote": evidence.quote}


def source_line(number: int, evidence: Evidence) -> str:
    """Return a citation for the list of sources, as `[1] a.md:3-4 "its quote"`; a long quote is cut."""
    quote = _on_one_line(evidence.quote)
    shown = quote if len(quote) <= _QUOTE_LENGTH else quote[:_QUOTE_LENGTH].rsplit(" ", 1)[0] + "…"
    place = ":".join([_on_one_line(evidence.source), *_told(*_lines(evidence))])
    return f'[{number}] {place} "{shown}"'


def first_line(evidence: Evidence) -> int | None:
    """Return the line where the quote begins, if the locator names one."""
    return _lines(evidence)[0]


def _lines(evidence: Evidence) -> tuple[int | None, int | None]:
    return named_lines(evidence.locator) or (None, None)


def _told(first: int | None, last: int | None) -> list[str]:
    return [] if first is None else [str(first) if first == last else f"{first}-{last}"]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
