"""How wide a text is, without a browser."""

from __future__ import annotations

import unicodedata

__all__ = ("shortened", "text_width")

_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 "
    "584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 "
    "667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 "
    "278 556 500 722 500 500 500 334 260 334 584"
)
"""Widths of the characters from space to `~` in thousandths of the size: those of Helvetica.

Arial, Liberation Sans and Arimo, which `style.css` names, have the same; in other fonts a text is fitted to its width.
"""
_ASCII = {chr(32 + number): int(width) for number, width in enumerate(_WIDTHS.split())}
_OTHER = {"…": 1000, "\u2013": 556, "—": 1000, "·": 278, "→": 1000, "«": 556, "»": 556}
_WIDE, _COMMON = 1000, 722


def text_width(text: str, size: float) -> float:
    """Return the width of a line in pixels at this size; characters outside the table are estimated."""
    return sum(map(_width, text)) * size / 1000


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text on one line; what is cut is marked by `…` in the middle."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    head = (limit - 1) * 2 // 3
    return line if len(line) <= limit else f"{line[:head]}…{line[len(line) - (limit - 1 - head) :]}"


def _width(character: str) -> int:
    known = _ASCII.get(character) or _OTHER.get(character)
    if known is not None:
        return known
    if unicodedata.combining(character):
        return 0
    base = unicodedata.normalize("NFD", character)[0]
    if base in _ASCII:
        return _ASCII[base]
    return _WIDE if unicodedata.east_asian_width(character) in "WF" else _COMMON
