from __future__ import annotations

import pytest

from guardgraph.state import error_place, error_text, printable


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LookupError("no such thing"), "LookupError: no such thing"),
        (ValueError("two\nlines\tand a tab"), "ValueError: two\nlines\tand a tab"),
        (ValueError("bell \a, escape \x1b[31m, NUL \0"), r"ValueError: bell \x07, escape \x1b[31m, NUL \x00"),
        (ValueError("half a pair \ud83d"), r"ValueError: half a pair \ud83d"),
        (ValueError("grüße, 你好, 🙂"), "ValueError: grüße, 你好, 🙂"),
        (Mute(), "Mute: (it cannot be printed)"),
    ],
)
def test_an_error_is_told_in_printable_text(error: Exception, text: str) -> None:
    assert error_text(error) == text
    assert error_text(error, named=False) == text.partition(": ")[2]


def test_a_text_cannot_take_over_a_terminal() -> None:
    assert printable("red \x1b[31m, clear \x1b[2J, gnp\u202eexe, 1\n\t2") == (
        "red \\x1b[31m, clear \\x1b[2J, gnp\\u202eexe, 1\n\t2"
    )


def test_an_error_tells_which_line_raised_it() -> None:
    def fetch() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError) as raised:
        fetch()

    line = fetch.__code__.co_firstlineno + 1
    assert error_place(raised.value) == f"test_text.py:{line} in fetch"
    assert error_place(LookupError("never raised")) == ""


def test_no_error_is_told_at_length() -> None:
    assert len(error_text(ValueError("x" * 10_000))) == 2_000
