"""Where a quote stands in a text."""

from __future__ import annotations

from unicodedata import decomposition, normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Lines, SourceText, flat, named_lines

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


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("\u201cIt\u2019s\u201d \u2018so\u2019 \u00abnow\u00bb \u201ehier\u201c", '"It\'s" \'so\' "now" "hier"'),
        ("10\u201320, a\u2014b, \u22125, co\u2010op, co\u2011op", "10-20, a-b, -5, co-op, co-op"),
        ("in\u00adfor\u00admation", "information"),
        ("\ufb01nd the o\ufb03ce\u2026", "find the office..."),
        ("\uff11\uff12 \uff25\uff35\uff32", "12 EUR"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\u00a0b\u2003c\u3000d", "a b c d"),
        (
            "10\u00b2 m\u00b3, CO\u2082, 1\u00bd, \u2462, 5\u2075",
            "10\u00b2 m\u00b3, CO\u2082, 1\u00bd, \u2462, 5\u2075",
        ),
        ("r\u00e9sum\u00e9 \u0391 \u0410 \u4ef7\u683c", "r\u00e9sum\u00e9 \u0391 \u0410 \u4ef7\u683c"),
    ],
)
def test_a_text_has_one_form(text: str, form: str) -> None:
    assert flat(text) == form
    assert flat(flat(text)) == form


def test_no_superscript_subscript_fraction_or_circled_sign_becomes_another_number() -> None:
    kinds = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")
    odd = [chr(code) for code in range(0x110000) if decomposition(chr(code)).startswith(kinds)]

    assert len(odd) > 500
    assert [char for char in odd if flat(char) != char] == []


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("an area of 10\u00b2 m", "an area of 102 m"),
        ("an area of 10\u00b2 m", "an area of 10 m"),
        ("it costs 1\u00bd euros", "it costs 11 euros"),
        ("at \u221220 degrees", "20 degrees"),
        ("he can\u2019t pay", "he can pay"),
    ],
)
def test_a_form_does_not_make_another_text_of_it(text: str, quote: str) -> None:
    assert not SourceText.of(text).holds(quote)


@given(st.text())
def test_the_form_of_a_form_is_itself(text: str) -> None:
    assert flat(flat(text)) == flat(text)


@given(st.text(min_size=1).filter(lambda text: bool(text.split())))
def test_a_text_holds_itself_in_every_form(text: str) -> None:
    source = SourceText.of(f"( {text} )")

    assert source.holds(text)
    assert source.holds(normalize("NFD", text))
