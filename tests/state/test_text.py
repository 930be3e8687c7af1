from __future__ import annotations

import pytest
from pydantic import ValidationError

from guardgraph.state import Usage, error_place, error_text, one_line, printable, validation_text


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


def test_one_line_has_no_control_characters() -> None:
    assert one_line("a\x1b[31mb\n\tc\x00d") == "a [31mb c d"


def test_one_line_is_cut_above_its_limit_only() -> None:
    assert one_line("x" * 10, longest=10) == "x" * 10
    assert one_line("x" * 11, longest=10) == "x" * 9 + "…"


def test_the_first_faults_of_a_validation_are_named_without_their_values() -> None:
    with pytest.raises(ValidationError) as caught:
        Usage.model_validate({"calls": "secret", "tokens_": 1, "usd": -1})

    assert validation_text(caught.value, most=2) == (
        "usd: Input should be greater than or equal to 0; "
        "calls: Input should be a valid integer, unable to parse string as an integer; and 1 more"
    )
    with pytest.raises(ValidationError) as caught:
        Usage.model_validate(3)
    assert validation_text(caught.value, whole="usage").startswith("usage: Input should be a valid dictionary")


def test_a_failed_validation_is_told_in_one_line() -> None:
    with pytest.raises(ValidationError) as raised:
        Usage.model_validate({"calls": -1, "input_tokens": "secret"})

    text = error_text(raised.value)
    assert text.startswith("ValidationError: Usage: ")
    assert "calls: Input should be greater than or equal to 0; " in text or "; calls: Input should be" in text
    assert "\n" not in text
    assert "secret" not in text
