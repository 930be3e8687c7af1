from __future__ import annotations

import pytest
from pydantic import JsonValue

from guardgraph.research import check_citations
from guardgraph.research.offline import MADE_BY, compose
from guardgraph.state import ContextItem, Evidence

ONE = Evidence(source="docs/a.md", quote="Budgets stop runs.", locator="3")
TWO = Evidence(source="docs/b.md", quote="Deadlines stop\nruns too.", locator="7-8")
TEXTS = {"docs/a.md": "\n\nBudgets stop runs.", "docs/b.md": "\n" * 6 + "Deadlines stop\nruns too."}


def result(title: str, *evidence: Evidence) -> ContextItem:
    claims: list[JsonValue] = [
        {"text": " ".join(one.quote.split()), "source": one.source, "line": int(one.locator[0])} for one in evidence
    ]
    return ContextItem(kind="result", title=title, value={"claims": claims}, evidence=evidence)


def test_a_report_has_sections_citations_gaps_and_sources() -> None:
    gap = ContextItem(kind="gap", title="costs", value="took too long")

    composed = compose("What stops\na run?", [result("deadlines", TWO, ONE), result("What stops a run?", ONE)], [gap])

    assert (
        composed.value["report"]
        == f"""# What stops a run?

{MADE_BY}

## What the documents say

- Budgets stop runs. [1]

## Deadlines

- Deadlines stop runs too. [2]
- See also [1].

## Not found

- costs: took too long

## Sources

[1] docs/a.md:3 "Budgets stop runs."{"  "}
[2] docs/b.md:7-8 "Deadlines stop runs too."
"""
    )
    assert composed.value["citations"] == [
        {"number": 1, "source": "docs/a.md", "line": 3, "last_line": 3, "quote": "Budgets stop runs."},
        {"number": 2, "source": "docs/b.md", "line": 7, "last_line": 8, "quote": "Deadlines stop\nruns too."},
    ]
    assert composed.evidence == (ONE, TWO)
    assert check_citations(composed.value, TEXTS.get) == []


def test_the_report_states_that_no_model_wrote_it() -> None:
    assert "offline:extractive" in MADE_BY
    assert "no model wrote" in MADE_BY


def test_a_report_on_nothing_states_that() -> None:
    composed = compose("Why?", [ContextItem(kind="result", title="Why?")], [])

    assert composed.evidence == ()
    assert "Nothing was found in the documents that answers the question." in str(composed.value["report"])
    assert "- Why?: nothing was found that answers it" in str(composed.value["report"])
    assert composed.value["citations"] == []
    assert composed.open == {"question": "Why?"}


def test_a_claim_of_two_results_is_listed_where_it_ranks_highest() -> None:
    report = str(compose("Q", [result("runs", ONE, TWO), result("deadlines", TWO)], []).value["report"])

    assert report.count("- Deadlines stop runs too.") == 1
    assert "## Runs\n\n- Budgets stop runs. [1]\n- See also [2].\n" in report
    assert "## Deadlines\n\n- Deadlines stop runs too. [2]\n" in report


def test_a_question_without_an_answer_is_listed_once() -> None:
    composed = compose(
        "Q", [ContextItem(kind="result", title="costs")], [ContextItem(kind="gap", title="costs", value="too late")]
    )

    assert str(composed.value["report"]).count("- costs:") == 1


@pytest.mark.parametrize(
    ("value", "bullet"),
    [
        ("Budgets\nstop runs.", "- Budgets stop runs. [1]"),
        ({"answer": "Budgets stop runs."}, "- Budgets stop runs. [1]"),
        (["Budgets stop.", 2], "- Budgets stop.; 2 [1]"),
        ({"cost": 2, "days": 3}, "- cost: 2, days: 3 [1]"),
        ({"claims": "none"}, "- claims: none [1]"),
        ({"claims": [{"text": "Budgets stop runs."}, "junk", {"text": ""}]}, "- Budgets stop runs. [1]"),
    ],
)
def test_results_of_any_form_are_listed_with_their_evidence(value: JsonValue, bullet: str) -> None:
    composed = compose("Q", [ContextItem(kind="result", title="part", value=value, evidence=(ONE,))], [])

    assert bullet in str(composed.value["report"]).split("\n")
    assert check_citations(composed.value, TEXTS.get) == []


def test_a_claim_that_names_no_evidence_is_listed_without_a_citation() -> None:
    value: JsonValue = {"claims": [{"text": "Said so.", "source": "x", "line": 1}]}

    composed = compose("Q", [ContextItem(kind="result", title="part", value=value, evidence=(ONE, TWO))], [])

    assert "- Said so.\n" in str(composed.value["report"])
    assert composed.value["citations"] == []


def test_a_long_quote_is_cut_in_the_list_and_whole_in_the_data() -> None:
    quote = "word " * 100 + "end"
    evidence = Evidence(source="a.md", quote=quote, locator="lines 5")

    composed = compose("Q", [ContextItem(kind="result", title="part", value="Text.", evidence=(evidence,))], [])

    last = str(composed.value["report"]).split("\n")[-2]
    assert last.startswith('[1] a.md:5 "word')
    assert last.endswith('word…"')
    assert len(last) < 200
    assert quote in str(composed.value["citations"])


def test_evidence_without_a_line_is_cited_by_its_source() -> None:
    evidence = Evidence(source="a.pdf", quote="Some words.", locator="page 3")

    composed = compose("Q", [ContextItem(kind="result", title="part", value="Text.", evidence=(evidence,))], [])

    assert '[1] a.pdf "Some words."' in str(composed.value["report"])


def test_brackets_of_the_sources_own_are_no_citations() -> None:
    found = ContextItem(kind="result", title="Part [7]", value="As in [3], `a[4]`.", evidence=(ONE,))

    composed = compose("Why [5]?", [found], [ContextItem(kind="gap", title="costs [6]")])

    assert "- As in \\[3], `a[4]`. [1]\n" in str(composed.value["report"])
    assert check_citations(composed.value, TEXTS.get) == []


def test_a_section_may_be_called_sources() -> None:
    composed = compose("Q", [result("sources", ONE)], [])

    assert str(composed.value["report"]).count("## Sources") == 2
    assert check_citations(composed.value, TEXTS.get) == []


def test_a_gap_without_a_reason_is_listed_once() -> None:
    gap = ContextItem(kind="gap", title="costs")

    assert str(compose("Q", [], [gap, gap]).value["report"]).count("- costs: it was not answered") == 1
