"""Texts of others (errors, values), made printable."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb

from pydantic import ValidationError

__all__ = ("error_place", "error_text", "nearest_text", "one_line", "printable", "validation_text")

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = 40
_LONGEST = 2_000


def printable(text: str) -> str:
    """Return `text` with what could take over a terminal escaped: control characters but line ends and tabs, characters
    that change the direction of the text after them, lone surrogates."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def error_place(error: BaseException) -> str:
    """Return the file, the line and the function that raised `error`; nothing for one that was never raised."""
    frames = extract_tb(error.__traceback__, limit=-1)
    return "".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames)


def error_text(error: BaseException, *, named: bool = True) -> str:
    """Return the text of `error`, after the name of its class if `named`: printable, at most 2,000 characters.

    Control characters and lone surrogates are escaped; an error whose `__str__` raises has a fixed text, and the one of
    a validation names the faults in one line, without the values.
    """
    try:
        message = f"{error.title}: {validation_text(error)}" if isinstance(error, ValidationError) else str(error)
    except Exception:  # whatever the error's class does
        message = "(it cannot be printed)"
    text = f"{type(error).__name__}: {message}" if named else message
    return printable(text)[:_LONGEST]


def validation_text(error: ValidationError, *, whole: str = "value", most: int = 5, with_values: bool = False) -> str:
    """Return the first `most` faults of a validation, each with its path (`whole` at the root).

    Values are not shown; `with_values` shows those that are a text or a number of at most 40 characters.
    """
    faults = error.errors(include_url=False, include_context=False)
    texts = [
        f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}{_got(fault['input']) if with_values else ''}"
        for fault in faults[:most]
    ]
    return "; ".join([*texts, f"and {len(faults) - most} more"] if len(faults) > most else texts)


def _got(value: object) -> str:
    is_number = isinstance(value, int | float) and not abs(value) > 10**_SHORT
    return f", got {value!r}" if is_number or (isinstance(value, str) and len(value) <= _SHORT) else ""


def nearest_text(name: str, known: Iterable[str]) -> str:
    """Return the known names that are most like an unknown one, at most three, for the end of an error's message.

    >>> nearest_text("lazer", ["laser", "inkjet"])
    "; the nearest is 'laser'"
    >>> nearest_text("scan", ["laser", "inkjet"])
    ''
    """
    found = get_close_matches(name, sorted(known))
    return f"; the nearest {'are' if len(found) > 1 else 'is'} {', '.join(map(repr, found))}" if found else ""


def one_line(value: object, longest: int = 160) -> str:
    """Return `value` as text without line breaks and control characters, cut after `longest` characters.

    >>> one_line("first\\nsecond", longest=9)
    'first se…'
    """
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
