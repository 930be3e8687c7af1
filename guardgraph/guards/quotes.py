"""Whether a quote is in a text, and in which lines."""

from __future__ import annotations

import re
from typing import NamedTuple
from unicodedata import normalize

__all__ = ("Lines", "SourceText", "flat", "named_lines")

_LINES = re.compile(r"(?:#?L|lines?\s*)?(\d{1,9})(?:\s*[-\u2013\u2014]\s*(?:#?L)?(\d{1,9}))?", re.IGNORECASE)
_SIGNS = frozenset("+-\u2212")
_MARKS = _SIGNS | frozenset(".,:/'\u2019\u2013")


class Lines(NamedTuple):
    """Lines of a text, both counted from 1; the text may have fewer."""

    first: int
    last: int


def named_lines(locator: str) -> Lines | None:
    """Return the lines of a locator such as `12`, `L12`, `12-14` or `lines 12-14`; `None` for any other."""
    named = _LINES.fullmatch(locator.strip())
    return Lines(int(named[1]), int(named[2] or named[1])) if named else None


_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u2039\u203a", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
        "\u00ad": None,
    }
)
"""Forms of quotation marks, and of hyphens, dashes and the minus sign, to one each; soft hyphens are left out."""
_KEPT = re.compile(
    "([\u00aa\u00b2\u00b3\u00b9\u00ba\u00bc-\u00be\u02b0-\u02b8\u02e0-\u02e4\u10fc\u1d2c-\u1d6a\u1d78\u1d9b-\u1dbf"
    "\u2070-\u209c\u2120\u2122\u2150-\u215f\u2189\u2460-\u24ff\u2c7c\u2c7d\u2d6f\u3192-\u319f\u3220-\u33ff\ua69c\ua69d"
    "\ua770\ua7f1-\ua7f4\ua7f8\ua7f9\uab5c-\uab5f\uab69\U00010781-\U000107ba\U0001e030-\U0001e06d"
    "\U0001f100-\U0001f2ff]+)"
)
"""Superscripts, subscripts, fractions, and signs in a circle or a square: NFKC would read 10\u00b2 as 102."""


def flat(text: str) -> str:
    """Return `text` in the form in which quotes are compared with sources.

    Every run of white space is one blank, soft hyphens are left out, quotation marks are ' or ", and hyphens, dashes
    and the minus sign are -. Else it is Unicode's NFKC (UAX #15), so that ligatures, full-width forms and letters with
    accents have one form; superscripts, subscripts, fractions and signs in a circle stay as they are.
    """
    if not text.isascii():
        parts = _KEPT.split(text.translate(_SAME))  # every second one is kept
        parts[::2] = [normalize("NFKC", part) for part in parts[::2]]
        text = normalize("NFC", "".join(parts)).translate(_SAME)
    return " ".join(text.split())


class SourceText(NamedTuple):
    """A text in which quotes are looked for, whatever their white space; make it with `of`."""

    text: str
    """The text, flat."""
    lines: tuple[str, ...]
    """Its lines as an editor counts them, each flat."""

    @classmethod
    def of(cls, text: str) -> SourceText:
        """Return `text` with its lines."""
        lines = tuple(flat(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        return cls(_join(lines), lines)

    def has(self, lines: Lines) -> bool:
        """Return whether there are such lines."""
        return 1 <= lines.first <= lines.last <= len(self.lines)

    def holds(self, quote: str, lines: Lines | None = None) -> bool:
        """Return whether all of `quote` is here, or within `lines`, in whole words and numbers."""
        if lines is None:
            return _find(self.text, flat(quote)) >= 0
        return self.has(lines) and _find(_join(self.lines[lines.first - 1 : lines.last]), flat(quote)) >= 0

    def around(self, quote: str, width: int = 300) -> str:
        """Return the flat text around the first place of a quote, `width` characters on each side; empty for none."""
        wanted = flat(quote)
        at = _find(self.text, wanted)
        return "" if at < 0 else self.text[max(at - width, 0) : at + len(wanted) + width]

    def opens(self, quote: str, lines: Lines) -> bool:
        """Return whether `quote` begins within `lines`, in whole words and numbers; it may go on beyond them."""
        if not self.has(lines):
            return False
        within = len(_join(self.lines[lines.first - 1 : lines.last]))
        return 0 <= _find(_join(self.lines[lines.first - 1 :]), flat(quote)) < within


def _join(lines: tuple[str, ...]) -> str:
    return " ".join(filter(None, lines))


def _find(text: str, quote: str) -> int:
    """Return where `quote` is in `text` without cutting a word, or -1: "able to pay" is not in "unable to pay"."""
    at = text.find(quote)
    while at >= 0 and (_cuts(text, at) or _cuts(text, at + len(quote))):
        at = text.find(quote, at + 1)
    return at


def _cuts(text: str, at: int) -> bool:
    """Return whether a word or a number of `text` continues across position `at`; scripts without blanks have no words.

    A number may have a sign, and marks within it: -20, 1,500.00, 12:30, 2024-01-05.
    """
    before, left, right, after = (text[i : i + 1] if i >= 0 else "" for i in range(at - 2, at + 2))
    if _is_of_a_word(left) and _is_of_a_word(right):
        return True
    if right.isdecimal() and left in _MARKS:
        return before.isdecimal() or (left in _SIGNS and not _is_of_a_word(before))
    return left.isdecimal() and right in _MARKS and after.isdecimal()


def _is_of_a_word(char: str) -> bool:
    return char.isdecimal() or char.lower() != char.upper()
