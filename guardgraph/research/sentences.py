"""Passages cut into sentences and table rows that can stand as claims, each with its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from guardgraph.research.passages import Passage
from guardgraph.research.tables import cells_of, is_rule, rows_of
from guardgraph.research.terms import WORD

__all__ = ("Sentence", "sentences_of")

_FEWEST_WORDS = 4
_FEWEST_LETTERS = 12
_LONGEST = 700
_ITEM = re.compile(r"(?:^|(?<=[\n\t]))[ >]*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
_QUOTED_LINE = re.compile(r"(?:^|(?<=[\n\t]))[ >]*>\s?")
_CLOSING = r"[\"'\u201d\u2019)\]*_`]{0,3}"
_OPENING = r"[\"'\u201c\u2018(\[*_`]{0,3}"
_STOP = re.compile(rf"[.!?\u2026]{_CLOSING}(?=\s+(?:{_OPENING}[A-Z0-9\u00c0-\u00de]|`|\*\*))|[\u3002\uff01\uff1f]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:approx|ca|cf|co|dr|ed|eds|e\.g|etc|fig|figs|i\.e|inc|jr|ltd|mr|mrs|ms|no|nos|p|pp|prof|resp|sec|st|vol|vs)"
    r"|(?:^|[\s(])[A-Za-z]|\[\d{1,3})\.$",
    re.IGNORECASE,
)
_LINK = re.compile(r"!?\[([^\]\[]*)\](?:\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[[^\]]*\])")
_ADDRESS = re.compile(r"<?\bhttps?://\S+")
_SYMBOLS = re.compile(r"[{}=;<>|\\/_$#@~^\[\]]")
_POINTER = re.compile(r"\[[^\]\[]*\]\([^()\s]*\)\s*(?:[:\u2013\u2014-]|$)")


class Sentence(NamedTuple):
    """One sentence of a passage, or one row of a table."""

    text: str
    """For a reader: on one line, without list marks and link targets; cells behind the heads of their columns."""
    quote: str
    """Verbatim, with its line breaks."""
    first: int
    """The number of the line where it begins."""
    last: int
    """The number of the line where it ends."""
    heads: str = ""
    """Words of `text` that it shares with every row of its table: the heads of the columns."""
    cells: str = ""
    """What a row says of its own; empty for a sentence."""

    @property
    def locator(self) -> str:
        """Its lines as `12` or `12-13`."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def is_pointer(self) -> bool:
        """Whether it begins with a link and tells what stands there, as an entry of a table of contents does."""
        return bool(_POINTER.match(self.quote))


def sentences_of(passage: Passage) -> list[Sentence]:
    """Return the sentences and table rows of `passage` that say something; no code, headings or fragments."""
    match passage.kind:
        case "prose":
            return _in_prose(passage)
        case "table":
            return list(_in_table(passage))
        case "code":
            return []


def _in_table(passage: Passage) -> Iterator[Sentence]:
    """Yield the rows of a table that have a word in them; the row above a rule names the columns."""
    rows = rows_of(passage.text)
    heads = _cells(passage.heads)
    for (number, row), (_, below) in zip(rows, [*rows[1:], (0, "")], strict=True):
        if is_rule(below) and not is_rule(row):
            heads = _cells(row)
        elif any(map(str.isalpha, row)):
            text = _told(_cells(row), heads)
            if len(WORD.findall(text)) >= _FEWEST_WORDS and len(row) <= _LONGEST:
                at = passage.first + number
                yield Sentence(text, row.strip(), at, at, " ".join(heads), "; ".join(_cells(row)))


def _cells(row: str) -> list[str]:
    return list(map(_plain, cells_of(row)))


def _told(cells: list[str], heads: list[str]) -> str:
    """Return the cells of a row for a reader, each behind the head of its column if there is one."""
    named = [(head, cell) for head, cell in zip_longest(heads[: len(cells)], cells, fillvalue="") if cell]
    return "; ".join(f"{head.rstrip(':?')}: {cell}" if head else cell for head, cell in named)


def _in_prose(passage: Passage) -> list[Sentence]:
    found: list[Sentence] = []
    for start, end in _spans(passage.text):
        quote = passage.text[start:end]
        text = _plain(quote)
        if _says_something(text, quote):
            first = passage.first + passage.text.count("\n", 0, start)
            found.append(Sentence(text, quote, first, first + quote.count("\n")))
    return found


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence of `text` begins and ends, without blanks and list marks around it."""
    for start, end in _blocks(text):
        for stop in _stops(text, start, end):
            span = text[start:stop]
            begin = start + len(span) - len(span.lstrip())
            finish = start + len(span.rstrip())
            if begin < finish:
                yield begin, finish
            start = stop


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield what list marks and tabs part."""
    marks = [(match.start(), match.end()) for match in _ITEM.finditer(text)]
    marks += [(match.start(), match.end()) for match in re.finditer(r"\t+", text)]
    begin = 0
    for start, after in sorted(marks):
        if start > begin:
            yield begin, start
        begin = max(begin, after)
    yield begin, len(text)


def _stops(text: str, start: int, end: int) -> Iterator[int]:
    for match in _STOP.finditer(text, start, end):
        if not _ABBREVIATION.search(text, max(start, match.start() - 12), match.start() + 1):
            yield match.end()
    yield end


def _plain(quote: str) -> str:
    text = _LINK.sub(r"\1", _QUOTED_LINE.sub("", quote))
    return " ".join(text.split()).lstrip("> ")


def _says_something(text: str, quote: str) -> bool:
    words = WORD.findall(text)
    if len(words) < _FEWEST_WORDS or len(quote) > _LONGEST or text.startswith("#") or text.endswith((":", "?")):
        return False
    bare = _ADDRESS.sub("", _LINK.sub("", quote))
    linked = len(WORD.findall(bare)) < _FEWEST_WORDS
    prose = re.sub(r"`[^`]*`", "", _ADDRESS.sub("", text))
    letters = sum(map(str.isalpha, text))
    return (
        not linked
        and letters >= max(_FEWEST_LETTERS, 0.5 * len(text))
        and len(_SYMBOLS.findall(prose)) <= 0.06 * len(text)
    )
