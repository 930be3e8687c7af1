"""Whether the citations of a report hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from pydantic import JsonValue

__all__ = ("check_citations", "tell_unread")

_SOURCES = "\n## Sources\n"
_CODE = re.compile(r"`[^`\n]*`")
_MARK = re.compile(r"(?<!\\)\[(\d+)\]")
"""A citation; a backslash makes brackets of the source's own plain text."""


def tell_unread(value: JsonValue, unread: Sequence[str]) -> JsonValue:
    """Return the value of a report with what could not be read of the documents: as `unread`, and before its sources.

    A value that is no report is returned as it is.
    """
    if not isinstance(value, dict) or not isinstance(report := value.get("report"), str):
        return value
    before, heading, after = report.rpartition(_SOURCES)
    body = before if heading else after
    lines = "".join(f"- {_MARK.sub(_plain, one)}\n" for one in unread)
    told = f"{body.rstrip()}\n\n## Not read\n\n{lines}{heading}{after if heading else ''}"
    return {**value, "report": told, "unread": list(unread)}


def _plain(mark: re.Match[str]) -> str:
    return f"\\{mark[0]}"


def check_citations(report_value: object, read: Callable[[str], str | None]) -> list[str]:
    """Return what is wrong with the citations of a report, in plain words; an empty list if every one of them holds.

    `report_value` is what the writer answers (`report` and `citations`); `read` returns the text of a source or None,
    as `Library.text_of` does. Every citation must open at its line and end by its last one if it names one, every
    number in the text must be a citation, and every citation must be used.
    """
    citations: object = report_value.get("citations") if isinstance(report_value, Mapping) else None
    if not isinstance(report_value, Mapping) or not isinstance(citations, list | tuple):
        return ["the report has no list of citations"]
    problems = [problem for citation in citations if (problem := _problem(citation, read))]
    numbers = Counter(
        number
        for citation in citations
        if isinstance(citation, Mapping)
        if isinstance(number := citation.get("number"), int)
    )
    before, heading, after = str(report_value.get("report", "")).rpartition(_SOURCES)
    body = before if heading else after
    told = {int(mark) for mark in _MARK.findall(_CODE.sub("", body))}
    problems += [f"number {number} stands for {count} citations" for number, count in numbers.items() if count > 1]
    problems += [f"[{number}] is in the text and in no citation" for number in sorted(told - set(numbers))]
    problems += [f"[{number}] is cited nowhere in the text" for number in sorted(set(numbers) - told)]
    return problems


def _problem(citation: object, read: Callable[[str], str | None]) -> str | None:
    match citation:
        case {"number": int(number), "source": str(source), "line": int(line), "quote": str(quote), **rest} if (
            quote.strip()
        ):
            text = read(source)
            if text is None:
                return f"[{number}] {source!r} cannot be opened"
            last = rest.get("last_line")
            if not _opens_at(text.split("\n"), line, last if isinstance(last, int) else None, " ".join(quote.split())):
                upto = f", or does not end by line {last}" if isinstance(last, int) else ""
                return f"[{number}] line {line} of {source!r} does not begin {quote[:80]!r}{upto}"
            return None
        case _:
            return f"a citation needs number, source, line and quote, got {citation!r}"


def _opens_at(lines: list[str], line: int, last: int | None, quote: str) -> bool:
    """Tell whether `quote` (on one line) begins in line number `line`, and ends by line number `last`."""
    if not 1 <= line <= (last or line) <= len(lines):
        return False
    opening = " ".join(lines[line - 1].split())
    window, length = [opening], len(opening)
    for following in lines[line:last]:
        if length > len(opening) + len(quote) + 1:
            break
        window.append(" ".join(following.split()))
        length += len(window[-1]) + 1
    at = " ".join(filter(None, window)).find(quote)
    return 0 <= at < len(opening)
