from __future__ import annotations

from typing import Any

import pytest

from guardgraph.research import check_citations

TEXT = "First line.\nSecond line goes\non here.\n\nLast line."


def report(*citations: dict[str, Any], text: str | None = None) -> dict[str, Any]:
    marks = " ".join(f"[{one.get('number')}]" for one in citations)
    return {
        "report": f"# Q\n\n{marks if text is None else text}\n\n## Sources\n\n[9] x\n",
        "citations": list(citations),
    }


def citation(number: int = 1, line: int = 2, quote: str = "Second line", source: str = "a.md") -> dict[str, Any]:
    return {"number": number, "source": source, "line": line, "quote": quote}


def problems(*citations: dict[str, Any], text: str | None = None) -> list[str]:
    return check_citations(report(*citations, text=text), {"a.md": TEXT}.get)


@pytest.mark.parametrize(
    ("line", "quote"),
    [(1, "First line."), (2, "line goes on here."), (2, "Second line goes\non  here. Last line."), (5, "Last line.")],
)
def test_a_quote_that_begins_in_its_line_holds(line: int, quote: str) -> None:
    assert problems(citation(line=line, quote=quote)) == []


@pytest.mark.parametrize(
    ("line", "quote"),
    [(1, "Second line"), (3, "Second line"), (0, "First"), (6, "Last"), (2, "Third line"), (4, "Last")],
)
def test_a_quote_that_begins_elsewhere_or_nowhere_is_a_problem(line: int, quote: str) -> None:
    assert problems(citation(line=line, quote=quote)) == [f"[1] line {line} of 'a.md' does not begin {quote!r}"]


@pytest.mark.parametrize(("last", "holds"), [(1, False), (2, False), (3, True), (5, True), (6, False)])
def test_a_quote_has_to_end_by_its_last_line(last: int, holds: bool) -> None:
    found = problems({**citation(quote="line goes on here."), "last_line": last})

    assert (found == []) == holds
    assert holds or f"or does not end by line {last}" in found[0]


def test_a_source_that_is_not_there_is_a_problem() -> None:
    assert problems(citation(source="b.md")) == ["[1] 'b.md' cannot be opened"]


def test_numbers_must_be_unique_and_cited() -> None:
    assert problems(citation(1), citation(1), text="[1]") == ["2 citations have the number 1"]
    assert problems(citation(1), text="[1][2] and `[3]`") == ["[2] is in the text and in no citation"]
    assert problems(citation(1), citation(2), text="[1]") == ["[2] is cited nowhere in the text"]


@pytest.mark.parametrize("broken", [{"number": 1}, citation(quote=" "), citation(line=None)])  # type: ignore[arg-type]
def test_a_citation_without_its_facts_is_a_problem(broken: dict[str, Any]) -> None:
    (problem,) = problems(broken)

    assert problem.startswith("a citation needs number, source, line and quote, got {")


@pytest.mark.parametrize("value", [None, "text", {}, {"citations": "x"}, []])
def test_what_is_no_report_is_a_problem(value: object) -> None:
    assert check_citations(value, {}.get) == ["the report has no list of citations"]
