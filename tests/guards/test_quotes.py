"""Where a quote stands in a text."""

from __future__ import annotations

import pytest

from guardgraph.guards import Lines, SourceText, named_lines

TEXT = "# Prices\n\nThe basic plan costs ten\neuros a month, ten\neuros."


@pytest.mark.parametrize(
    ("locator", "lines"),
    [
        ("12", (12, 12)),
        (" L12 ", (12, 12)),
        ("#L12-L14", (12, 14)),
        ("lines 12 \u2013 14", (12, 14)),
        ("14-12", (14, 12)),
        ("", None),
        ("-3", None),
        ("page 12", None),
        ("12, table 2", None),
        ("1234567890", None),
    ],
)
def test_a_locator_names_lines_or_something_else(locator: str, lines: tuple[int, int] | None) -> None:
    assert named_lines(locator) == lines


@pytest.mark.parametrize(
    ("quote", "first", "last", "holds", "opens"),
    [
        ("ten euros a month", 3, 4, True, True),
        ("ten euros a month", 3, 3, False, True),
        ("ten euros a month", 4, 5, False, False),
        ("ten euros.", 4, 4, False, True),
        ("ten euros.", 3, 5, True, True),
        ("Prices The basic", 1, 2, False, True),
        ("The basic", 2, 2, False, False),
        ("basic plan", 3, 6, False, False),
        ("basic plan", 0, 3, False, False),
        ("basic plan", 3, 2, False, False),
        ("asic plan", 3, 3, False, False),
    ],
)
def test_a_quote_is_held_by_lines_or_opens_in_them(quote: str, first: int, last: int, holds: bool, opens: bool) -> None:
    text, lines = SourceText.of(TEXT), Lines(first, last)

    assert (text.holds(quote, lines), text.opens(quote, lines)) == (holds, opens)
