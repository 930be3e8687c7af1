"""Errors of others as text."""

from __future__ import annotations

import re

__all__ = ("error_text",)

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LONGEST = 2_000


def error_text(error: BaseException, *, named: bool = True) -> str:
    """Return what `error` says, behind the name of its class if `named`: printable, at most 2,000 characters.

    Control characters and lone surrogates are escaped; an error whose own text cannot be had says so.
    """
    try:
        said = str(error)
    except Exception:  # whatever the error's class does
        said = "(it cannot be printed)"
    text = f"{type(error).__name__}: {said}" if named else said
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)[:_LONGEST]
