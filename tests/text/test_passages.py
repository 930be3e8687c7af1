from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.text.passages import passages_of
from tests.house.sources import ROOT

PAGE = """---
title: settings
---
# Top

First paragraph
goes on.

## Inner

- one item
- two items

| a | b |
| - | - |
```python
# no heading

x = 1
```
After the code.

Underlined
----------
Last words.
"""


def test_a_page_is_cut_into_paragraphs_tables_and_code() -> None:
    found = [(one.first, one.last, one.kind, one.heading) for one in passages_of("a.md", PAGE)]

    assert found == [
        (6, 7, "prose", "Top"),
        (11, 12, "prose", "Top / Inner"),
        (14, 15, "table", "Top / Inner"),
        (16, 20, "code", "Top / Inner"),
        (21, 21, "prose", "Top / Inner"),
        (25, 25, "prose", "Top / Underlined"),
    ]


def test_a_text_without_marks_is_cut_at_blank_lines() -> None:
    assert [one.text for one in passages_of("a.txt", "one\ntwo\n\n\nthree")] == ["one\ntwo", "three"]


def test_a_fence_that_never_closes_is_code_to_the_end() -> None:
    assert [one.kind for one in passages_of("a.md", "~~~\na\n\n```\nb")] == ["code"]


def test_a_long_paragraph_ends_with_the_line_that_fills_it() -> None:
    found = passages_of("a.txt", "\n".join(["word " * 100] * 8))

    assert [(one.first, one.last) for one in found] == [(1, 4), (5, 8)]


def test_a_very_long_line_is_cut_at_blocks_sentences_and_blanks() -> None:
    line = "\t".join(["A sentence of six words. " * 20] * 10) + " " + "x" * 4_000

    found = passages_of("a.html", line)

    assert all((one.first, one.last) == (1, 1) and one.text in line for one in found)
    assert max(len(one.text) for one in found) <= 1_500
    assert "".join("".join(one.text for one in found).split()) == "".join(line.split())


def test_a_heading_that_shares_its_line_with_other_blocks_is_no_heading() -> None:
    (passage,) = passages_of("a.html", "# Title\tSome words that follow.")

    assert (passage.heading, passage.text) == ("", "# Title\tSome words that follow.")


def test_every_passage_of_the_projects_own_pages_is_at_its_lines() -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text("utf-8")
        for one in passages_of(path.name, text):
            assert one.text == "\n".join(text.split("\n")[one.first - 1 : one.last])


@given(st.text(alphabet="ab#|`~-=> .\n\t:", max_size=200))
def test_every_passage_of_any_text_is_at_its_lines(text: str) -> None:
    for one in passages_of("a.md", text):
        lines = text.split("\n")[one.first - 1 : one.last]
        assert one.text in "\n".join(lines)
        assert all(part in line for part, line in zip(one.text.split("\n"), lines, strict=True))


def test_blocks_beside_a_table_on_its_line_are_separated() -> None:
    found = passages_of("a.html", "# Travel\t| a | b |\t|---|---|\t| c | d |\tAfter the table.")

    assert [(one.kind, one.text, one.heading, one.first) for one in found] == [
        ("table", "| a | b |\t|---|---|\t| c | d |", "Travel", 1),
        ("prose", "After the table.", "Travel", 1),
    ]


@pytest.mark.parametrize("gap", ["", "\n\n"])
def test_each_part_of_a_table_knows_what_names_its_columns(gap: str) -> None:
    rows = [f"| {'word ' * 100}| {number} |{gap}" for number in range(8)]

    found = passages_of("a.md", "\n".join(["| text | number |", "|---|---|", *rows, "", "Words.", "", "| a | b |"]))

    tables = [one for one in found if one.kind == "table"]
    assert len(tables) > 2
    assert {one.heads for one in tables[1:-1]} == {"| text | number |"}
    assert tables[0].heads == tables[-1].heads == ""
