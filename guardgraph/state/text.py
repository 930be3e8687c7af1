"""Texts of others, made fit to print."""

from __future__ import annotations

import re
from pathlib import Path
from traceback import extract_tb

__all__ = ("error_place", "error_text", "one_line", "printable")

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 2_000


def printable(text: str) -> str:
    """Return `text` with what could take over a terminal escaped: control characters but line ends and tabs, characters
    that turn the direction of what follows, lone surrogates."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(value: object, limit: int) -> str:
    """Return `value` as one printable line of at most `limit` characters."""
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def error_place(error: BaseException) -> str:
    """Return the file, the line and the function that raised `error`; nothing for one that was never raised."""
    frames = extract_tb(error.__traceback__, limit=-1)
    return "".join(f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames)


def error_text(error: BaseException, *, named: bool = True) -> str:
    """Return what `error` says, behind the name of its class if `named`: printable, at most 2,000 characters.

    Control characters and lone surrogates are escaped; an error whose own text cannot be had says so.
    """
    try:
        said = str(error)
    except Exception:  # whatever the error's class does
        said = "(it cannot be printed)"
    text = f"{type(error).__name__}: {said}" if named else said
    return printable(text)[:_LONGEST]
