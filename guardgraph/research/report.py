"""Reports in Markdown with numbered citations: building them, and checking that their citations hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import JsonValue

from guardgraph.guards import Lines, SourceText, named_lines
from guardgraph.state import Evidence

__all__ = (
    "build_report",
    "check_citations",
    "cited_numbers",
    "claims_value",
    "escape_marks",
    "first_line",
    "on_one_line",
)

_SOURCES = "\n## Sources\n"
_CODE = re.compile(r"`[^`\n]*`")
_MARK = re.compile(r"(?<!\\)\[(\d+)\]")
"""A citation; a backslash marks brackets as plain text."""
_CODE_OR_MARK = re.compile(r"`[^`]*`|\[(?=\d+\])")
_QUOTE_LENGTH = 160


def build_report(
    question: str, body: Iterable[str], evidence: Sequence[Evidence], *, made_by: str, unread: Sequence[str] = ()
) -> dict[str, JsonValue]:
    """Return a report as data: `report` (Markdown), `citations`, and `unread` if there is any.

    The citations are numbered from 1 in the order of `evidence`; each has `number`, `source`, `line` and `last_line`
    (`None` if unknown), and `quote`. `body` are lines, `made_by` names the author, `unread` is what could not be read.
    """
    lines = [f"# {escape_marks(on_one_line(question))}", "", made_by, "", *body, ""]
    if unread:
        lines += ["## Not read", "", *(f"- {escape_marks(one)}" for one in unread), ""]
    if evidence:
        lines += ["## Sources", "", *(f"{_source_line(number, one)}  " for number, one in enumerate(evidence, 1))]
    value: dict[str, JsonValue] = {
        "report": "\n".join(lines).rstrip() + "\n",
        "citations": [_citation(number, one) for number, one in enumerate(evidence, 1)],
    }
    return {**value, "unread": list(unread)} if unread else value


def claims_value(claims: Iterable[tuple[str, Evidence]]) -> dict[str, JsonValue]:
    """Return the value of a worker's reply: `claims`, each with `text`, `source` and `line`."""
    return {"claims": [{"text": text, "source": one.source, "line": first_line(one)} for text, one in claims]}


def first_line(evidence: Evidence) -> int | None:
    """Return the line where the quote begins, if the locator names one."""
    lines = named_lines(evidence.locator)
    return lines.first if lines else None


def on_one_line(text: str) -> str:
    """Return `text` with each run of white space as one blank."""
    return " ".join(text.split())


def escape_marks(text: str) -> str:
    """Return `text` with a backslash before what looks like a citation; code is not changed."""
    return _CODE_OR_MARK.sub(lambda found: found[0] if found[0][0] == "`" else f"\\{found[0]}", text)


def cited_numbers(text: str) -> list[int]:
    """Return the numbers of the citations in `text`, outside code, in their order."""
    return [int(number) for number in _MARK.findall(_CODE.sub("", text))]


def check_citations(report_value: object, read: Callable[[str], str | None]) -> list[str]:
    """Return what is wrong with the citations of a report; an empty list if all of them hold.

    `report_value` is the writer's value (`report` and `citations`); `read` returns the text of a source or None, as
    `Library.text_of` does. Every quote must begin in its line and end by its last one if it names one, every number
    in the text must be a citation, and every citation must be used.
    """
    citations: object = report_value.get("citations") if isinstance(report_value, Mapping) else None
    if not isinstance(report_value, Mapping) or not isinstance(citations, list | tuple):
        return ["the report has no list of citations"]
    problems = [problem for citation in citations if (problem := _problem(citation, read))]
    given = [citation.get("number") for citation in citations if isinstance(citation, Mapping)]
    numbers = Counter(number for number in given if isinstance(number, int))
    before, heading, after = str(report_value.get("report", "")).rpartition(_SOURCES)
    used = set(cited_numbers(before if heading else after))
    problems += [f"{count} citations have the number {number}" for number, count in numbers.items() if count > 1]
    problems += [f"[{number}] is in the text and in no citation" for number in sorted(used - set(numbers))]
    problems += [f"[{number}] is cited nowhere in the text" for number in sorted(set(numbers) - used)]
    return problems


def _problem(citation: object, read: Callable[[str], str | None]) -> str | None:
    match citation:
        case {"number": int(number), "source": str(source), "line": int(line), "quote": str(quote), **rest} if (
            quote.strip()
        ):
            last = rest.get("last_line")
        case _:
            return f"a citation needs number, source, line and quote, got {citation!r}"
    content = read(source)
    if content is None:
        return f"[{number}] {source!r} cannot be opened"
    text = SourceText.of(content)
    until = f", or does not end by line {last}" if isinstance(last, int) else ""
    if text.opens(quote, Lines(line, line)) and (not isinstance(last, int) or text.holds(quote, Lines(line, last))):
        return None
    return f"[{number}] line {line} of {source!r} does not begin {on_one_line(quote)[:80]!r}{until}"


def _citation(number: int, evidence: Evidence) -> dict[str, JsonValue]:
    first, last = named_lines(evidence.locator) or (None, None)
    return {"number": number, "source": evidence.source, "line": first, "last_line": last, "quote": evidence.quote}


def _source_line(number: int, evidence: Evidence) -> str:
    """Return a citation for the list of sources, as `[1] a.md:3-4 "its quote"`; a long quote is cut."""
    quote, lines = on_one_line(evidence.quote), named_lines(evidence.locator)
    shown = quote if len(quote) <= _QUOTE_LENGTH else quote[:_QUOTE_LENGTH].rsplit(" ", 1)[0] + "…"
    at = "" if lines is None else f":{lines.first}" if lines.first == lines.last else f":{lines.first}-{lines.last}"
    return f'[{number}] {on_one_line(evidence.source)}{at} "{shown}"'
