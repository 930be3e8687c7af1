"""Passages cut into sentences and table rows that can be claims, each with its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from guardgraph.text.passages import Passage
from guardgraph.text.tables import cells_of, is_rule, rows_of
from guardgraph.text.terms import WORD

__all__ = ("Sentence", "sentences_of")

_MIN_WORDS = 4
_MIN_LETTERS = 12
_MAX_LENGTH = 700
_NOT_BLANK = re.compile(r"\S(?:.*\S)?", re.DOTALL)
_BLOCK_START = re.compile(r"\t+|(?:^|(?<=[\n\t]))[ >]*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?")
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
    """For a reader: on one line, without list marks and link targets; each cell follows the name of its column."""
    quote: str
    """Verbatim, with its line breaks."""
    first: int
    """The number of the line where it begins."""
    last: int
    """The number of the line where it ends."""
    heads: str = ""
    """The names of the columns, which `text` shares with every row of its table."""
    cells: str = ""
    """The cells of a row without the names of the columns; empty for a sentence."""

    @property
    def locator(self) -> str:
        """Its lines as `12` or `12-13`."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    @property
    def is_pointer(self) -> bool:
        """Whether it begins with a link and describes its target, as an entry of a table of contents does."""
        return bool(_POINTER.match(self.quote))


def sentences_of(passage: Passage) -> list[Sentence]:
    """Return the sentences and table rows of `passage`; no code, headings or fragments."""
    match passage.kind:
        case "prose":
            return list(_in_prose(passage))
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
            text = _row_text(_cells(row), heads)
            if len(WORD.findall(text)) >= _MIN_WORDS and len(row) <= _MAX_LENGTH:
                at = passage.first + number
                yield Sentence(text, row.strip(), at, at, " ".join(heads), "; ".join(_cells(row)))


def _cells(row: str) -> list[str]:
    return list(map(_plain, cells_of(row)))


def _row_text(cells: list[str], heads: list[str]) -> str:
    """Return the cells of a row for a reader, each after the name of its column if there is one."""
    named = [(head, cell) for head, cell in zip_longest(heads[: len(cells)], cells, fillvalue="") if cell]
    return "; ".join(f"{head.rstrip(':?')}: {cell}" if head else cell for head, cell in named)


def _in_prose(passage: Passage) -> Iterator[Sentence]:
    for start, end in _spans(passage.text):
        quote = passage.text[start:end]
        text = _plain(quote)
        if _is_claim(text, quote):
            first = passage.first + passage.text.count("\n", 0, start)
            yield Sentence(text, quote, first, first + quote.count("\n"))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each sentence of `text` begins and ends, without white space and list marks around it."""
    for start, end in _blocks(text):
        for stop in _stops(text, start, end):
            if sentence := _NOT_BLANK.search(text, start, stop):
                yield sentence.span()
            start = stop


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans between list marks and tabs."""
    begin = 0
    for mark in _BLOCK_START.finditer(text):
        if mark.start() > begin:
            yield begin, mark.start()
        begin = mark.end()
    yield begin, len(text)


def _stops(text: str, start: int, end: int) -> Iterator[int]:
    for match in _STOP.finditer(text, start, end):
        if not _ABBREVIATION.search(text, max(start, match.start() - 12), match.start() + 1):
            yield match.end()
    yield end


def _plain(quote: str) -> str:
    text = _LINK.sub(r"\1", _QUOTED_LINE.sub("", quote))
    return " ".join(text.split()).lstrip("> ")


def _is_claim(text: str, quote: str) -> bool:
    if len(quote) > _MAX_LENGTH or text.startswith("#") or text.endswith((":", "?")):
        return False
    outside_links = _ADDRESS.sub("", _LINK.sub("", quote))
    prose = re.sub(r"`[^`]*`", "", _ADDRESS.sub("", text))
    return (
        all(len(WORD.findall(one)) >= _MIN_WORDS for one in (text, outside_links))
        and sum(map(str.isalpha, text)) >= max(_MIN_LETTERS, 0.5 * len(text))
        and len(_SYMBOLS.findall(prose)) <= 0.06 * len(text)
    )
