from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.text.passages import Passage, passages_of
from guardgraph.text.sentences import sentences_of
from tests.house.sources import ROOT


def texts(text: str) -> list[str]:
    return [one.text for one in sentences_of(Passage("a.md", 10, 10 + text.count("\n"), text))]


def test_sentences_know_their_lines_and_their_verbatim_words() -> None:
    passage = Passage("a.md", 10, 11, "A run stops before it\noverspends. The **ledger** keeps all books.")

    first, second = sentences_of(passage)

    assert (first.text, first.quote) == ("A run stops before it overspends.", "A run stops before it\noverspends.")
    assert (first.locator, second.locator) == ("10-11", "11")
    assert second.text == "The **ledger** keeps all books."


@pytest.mark.parametrize(
    "text",
    [
        "Use a limit, e.g. The default of five levels.",
        "Costs are approx. 5 dollars for each run.",
        "Version 1.2.22 of it is needed here.",
        "The author J. Smith wrote all of this.",
    ],
)
def test_abbreviations_and_numbers_end_no_sentence(text: str) -> None:
    assert texts(text) == [text]


def test_a_sentence_may_begin_with_code_or_bold_words() -> None:
    assert texts("The limit is a number. `share` takes a part of it. **Money** is counted too here.") == [
        "The limit is a number.",
        "`share` takes a part of it.",
        "**Money** is counted too here.",
    ]


def test_list_items_are_separated() -> None:
    found = texts("- one item that says something\n- [x] another item that\n  goes on\n2. a numbered item with words")

    assert found == [
        "one item that says something",
        "another item that goes on",
        "a numbered item with words",
    ]


def test_blocks_that_share_a_line_are_separated() -> None:
    assert texts("# A title of some words\tFirst block says something\tSecond block says more") == [
        "First block says something",
        "Second block says more",
    ]


def test_a_block_quote_loses_its_marks_for_the_reader_only() -> None:
    (found,) = sentences_of(Passage("a.md", 1, 2, "> A run that is killed\n> can be resumed."))

    assert found.text == "A run that is killed can be resumed."
    assert found.quote in "> A run that is killed\n> can be resumed."


def test_a_link_is_shown_by_its_words() -> None:
    assert texts("Read the [long page](docs/page.md) on budgets first.") == ["Read the long page on budgets first."]


@pytest.mark.parametrize(
    "text",
    [
        "Too short.",
        "- [A page of many words](a.md)\n- [Another page of many words](b.md)",
        "https://example.org/a/b/c/d and https://example.org/e/f/g",
        "These are the things that follow:",
        "But what is a budget for?",
        "x = {a: [b, c], d: <e>}; y = f(x) | g(y)",
        "a b c d",
        "word " * 200,
    ],
)
def test_what_is_no_claim_on_its_own_is_left_out(text: str) -> None:
    assert texts(text) == []


def test_code_holds_no_sentences() -> None:
    (passage,) = passages_of("a.md", "```\nThis is no claim at all.\n```")

    assert passage.kind == "code"
    assert sentences_of(passage) == []


def test_each_row_of_a_table_follows_the_heads_of_its_columns() -> None:
    (table,) = passages_of("a.md", "| part | torque? |\n|:--|--:|\n| [pedal](p.md) | 40 Nm |\n| a \\| b | |\n| 1 | 2 |")

    found = sentences_of(table)

    assert [(one.text, one.quote, one.locator) for one in found] == [
        ("part: pedal; torque: 40 Nm", "| [pedal](p.md) | 40 Nm |", "3"),
    ]


def test_a_row_without_heads_is_not_changed() -> None:
    assert [
        one.text for one in sentences_of(Passage("a.md", 1, 1, "| The pedal | goes on with 40 Nm |", kind="table"))
    ] == ["The pedal; goes on with 40 Nm"]


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("- [Quick start](quick-start.md): a guarded team, and what it costs", True),
        ("- [Quick start](quick-start.md) \u2014 a guarded team, and what it costs", True),
        ("The [quick start](quick-start.md) shows a guarded team.", False),
        ("[Guards](guards.md) stop what goes on too long.", False),
    ],
)
def test_an_entry_of_a_table_of_contents_points_elsewhere(text: str, points: bool) -> None:
    assert [one.is_pointer for one in sentences_of(Passage("a.md", 1, 1, text))] == [points]


def test_a_numbered_link_is_not_cut() -> None:
    assert texts("- [2. Guards judge, gates are nodes](a.md)") == []


def check_lines(text: str) -> int:
    found = [one for passage in passages_of("a.md", text) for one in sentences_of(passage)]
    for one in found:
        assert one.quote in "\n".join(text.split("\n")[one.first - 1 : one.last])
        assert one.quote.split("\n")[0] in text.split("\n")[one.first - 1]
    return len(found)


def test_every_sentence_of_the_projects_own_pages_is_at_its_lines() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

    assert sum(check_lines(path.read_text("utf-8")) for path in pages) > 20


@given(
    st.lists(st.sampled_from(["word", "Some longer text", ". ", "\n", "\n\n", "> ", "- ", "\t", "`a`", "? ", "[a](b)"]))
)
def test_every_sentence_of_any_text_is_at_its_lines(parts: list[str]) -> None:
    check_lines(" ".join(parts))
