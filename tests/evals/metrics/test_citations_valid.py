"""The metric of what an answer cites."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import pytest

from guardgraph.evals import Case, Score
from guardgraph.evals.metrics import CitationsValid
from guardgraph.state import Outcome, OutcomeStatus, Task

TEXT = "# Budget\n\nA team never spends\nmore than its budget.\nIt stops before."


def score_of(*citations: Any, text: str = TEXT) -> Score:
    score = CitationsValid({"a.md": text})(case_of("completed"), outcome_of(list(citations)))
    assert score is not None
    return score


def case_of(status: OutcomeStatus) -> Case:
    return Case(id="a", task=Task(goal="x"), expected_status=status)


def outcome_of(citations: Any) -> Outcome:
    return Outcome(status="completed", value={"report": "x", "citations": citations})


def cite(quote: Any, line: Any, *, source: Any = "a.md") -> dict[str, Any]:
    return {"source": source, "line": line, "quote": quote}


@pytest.mark.parametrize(
    "citation",
    [
        cite("never spends", 3),
        cite("never  spends more than", 3),
        cite("never spends\nmore than", "3"),
        cite("more than", "3-4"),
        cite("It stops before.", 5),
        {**cite("never spends", 3), "number": 1},
    ],
)
def test_a_quote_that_begins_in_its_line_is_valid(citation: dict[str, Any]) -> None:
    assert score_of(citation) == Score(metric="citations_valid", value=1, passed=True)


@pytest.mark.parametrize(
    ("citation", "reason"),
    [
        (cite("never spends", 4), "'never spends' is not in 'a.md' at line 4"),
        (cite("more than", 3), "is not in 'a.md' at line 3"),
        (cite("always spends", 3), "is not in 'a.md' at line 3"),
        (cite("never spends", 0), "'a.md' has 5 lines, not 0"),
        (cite("never spends", 6), "'a.md' has 5 lines, not 6"),
        (cite("never spends", "4-3"), "'a.md' has 5 lines, not 4-3"),
        (cite("never spends", 3, source="b.md"), "'b.md' is not one of the sources"),
        (cite("never spends", None), "needs source, line and quote"),
        (cite("never spends", -3), "needs source, line and quote"),
        (cite(" ", 2), "needs source, line and quote"),
        (cite("x", 1, source=""), "needs source, line and quote"),
        (cite(3, 3), "needs source, line and quote"),
        ("a.md:3", "needs source, line and quote"),
    ],
)
def test_a_citation_that_does_not_open_at_its_quote_is_not(citation: Any, reason: str) -> None:
    score = score_of(citation)

    assert (score.value, score.passed) == (0, False)
    assert score.reason.startswith("citation 1: ")
    assert reason in score.reason


def test_the_score_is_the_share_of_valid_ones_and_a_few_wrong_ones_are_named() -> None:
    score = score_of(cite("never spends", 3), *[cite("never spends", 1)] * 4)

    assert score.value == 0.2
    assert score.reason.startswith("citation 2: ")
    assert score.reason.endswith("; and 1 more")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_accent_counts_as_the_same_in_both_encodings(form: Literal["NFC", "NFD"]) -> None:
    assert score_of(cite(normalize(form, "Das Caf\u00e9"), 1), text="Das Caf\u00e9 ist offen.").passed


def test_a_quote_that_cuts_a_word_is_no_citation() -> None:
    assert not score_of(cite("able to pay", 1), text="They are unable to pay.").passed
    assert score_of(cite("able to pay", 2), text="They are unable to pay,\nor able to pay.").passed


@pytest.mark.parametrize("line_end", ["\r\n", "\r", "\n"])
def test_lines_end_as_an_editor_ends_them(line_end: str) -> None:
    assert score_of(cite("two", 2), text=f"one \x0c\u2028 one{line_end}two{line_end}").passed


@pytest.mark.parametrize("value", [None, "text", {"report": "x"}, {"citations": []}, {"citations": "a.md"}, []])
def test_an_answer_without_citations_fails(value: Any) -> None:
    score = CitationsValid({})(case_of("degraded"), Outcome(status="completed", value=value))

    assert score == Score(metric="citations_valid", value=0, passed=False, reason="the answer has no citations")


@pytest.mark.parametrize("status", ["refused", "failed", "escalated"])
def test_a_case_that_expects_no_answer_is_not_counted(status: OutcomeStatus) -> None:
    assert CitationsValid({})(case_of(status), outcome_of([cite("x", 1)])) is None


def test_sources_are_read_from_a_folder_or_by_a_function(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(TEXT, encoding="utf-8")
    outcome = outcome_of([cite("never spends", 3)])

    for sources in (tmp_path, str(tmp_path), lambda name: TEXT if name == "a.md" else None):
        score = CitationsValid(sources)(case_of("completed"), outcome)
        assert score is not None
        assert score.passed


def test_a_source_outside_of_the_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.md").write_text(TEXT, encoding="utf-8")

    score = CitationsValid(tmp_path / "in")(
        case_of("completed"), outcome_of([cite("never spends", 3, source="../secret.md")])
    )

    assert score is not None
    assert "is not one of the sources" in score.reason
