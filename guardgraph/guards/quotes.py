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


def flat(text: str) -> str:
    """Return `text` with every run of white space made one blank, and each letter with its accents as one character."""
    return " ".join(normalize("NFC", text).split())


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
