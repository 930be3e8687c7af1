"""Tables of HTML as rows between bars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

from guardgraph.research.tables import NO_HEADS, row_of, rule_of

__all__ = ("HtmlCell", "HtmlTable")

_LONGEST = 700
"""A row of more characters is no data: tables lay out pages too."""
_MOST_SPANNED = 100


class HtmlCell(NamedTuple):
    """One cell and the columns and rows that it spans; `parts` are texts, each with the index of its line."""

    line: int
    is_head: bool
    across: int
    down: int
    parts: list[tuple[int, str]]

    @classmethod
    def of(cls, attributes: Mapping[str, str | None], *, line: int, is_head: bool) -> HtmlCell:
        """Return an empty cell that begins on the line with the index `line`."""
        return cls(line, is_head, _count(attributes.get("colspan")), _count(attributes.get("rowspan")), [])

    @property
    def text(self) -> str:
        """What stands in it, on one line."""
        lines = ("".join(part for _, part in parts) for _, parts in groupby(self.parts, key=lambda part: part[0]))
        return " ".join(" ".join(lines).split())


class HtmlTable:
    """Writes the rows of one table, each on a line, once it is known which of them names the columns."""

    def __init__(self, lines: list[list[str]]) -> None:
        """Write to `lines`, the texts on each line; whoever reads the page adds cells to `row`."""
        self.row: list[HtmlCell] = []
        self.in_head = False
        self._lines = lines
        self._first: tuple[int, list[str]] | None = None
        self._has_begun = False
        self._spanned: dict[int, tuple[int, str]] = {}

    def end(self) -> None:
        """Write what is left; what follows is another table."""
        self.end_row()
        self._write_first(is_head=False)
        self.in_head, self._first, self._has_begun, self._spanned = False, None, False, {}

    def end_row(self) -> None:
        """Write the row, or keep it as the first one."""
        row = self.row
        if not row:
            return
        texts, self._spanned = _laid_out(row, self._spanned)
        if len(row_of(texts)) > _LONGEST:
            self.spread()
            return
        self.row = []
        if any(cell.text for cell in row):
            self._take(row, texts)

    def spread(self) -> None:
        """Leave the text of the row where it stands: the cells hold blocks, no data."""
        for cell in self.row:
            for number, text in [(cell.line, "\t"), *cell.parts]:
                self._lines[number].append(text)
        self.row = []

    def _take(self, row: list[HtmlCell], texts: list[str]) -> None:
        """Write a row as a head, as data below a head, or keep it until it is known which of both it is."""
        at = row[0].line
        several = sum(map(bool, texts)) > 1
        heads = [cell.is_head for cell in row if cell.text or cell is not row[0]]
        if several and all(heads):
            self._write_first(is_head=False)
            self._write(at, row_of(texts), rule_of(texts))
            self._has_begun = True
        elif self._has_begun:
            self._write_first(is_head=True)
            self._write(at, row_of(texts))
        elif several and not any(heads):
            self._first, self._has_begun = (at, texts), True
        else:
            self._write(at, NO_HEADS, row_of(texts))
            self._has_begun = several

    def _write_first(self, *, is_head: bool) -> None:
        if self._first:
            at, texts = self._first
            self._write(at, *([row_of(texts), rule_of(texts)] if is_head else [NO_HEADS, row_of(texts)]))
            self._first = None

    def _write(self, at: int, *rows: str) -> None:
        self._lines[at].append("".join(f"\t{row}\t" for row in rows))


def _laid_out(row: list[HtmlCell], above: dict[int, tuple[int, str]]) -> tuple[list[str], dict[int, tuple[int, str]]]:
    """Return the text of each column, and what cells of this row and those `above` say in the rows below."""
    texts: list[str] = []
    below: dict[int, tuple[int, str]] = {}
    waiting = list(reversed(row))
    while waiting or len(texts) in above:
        column = len(texts)
        if column in above:
            rest, text = above[column]
            told = [text]
        else:
            cell = waiting.pop()
            rest, text = cell.down, cell.text
            told = [text] * cell.across if cell.is_head and len(row) > 1 else [text, *[""] * (cell.across - 1)]
        texts += told
        if rest > 1:
            below |= {column + place: (rest - 1, one) for place, one in enumerate(told)}
    return texts, below


def _count(value: str | None) -> int:
    """Return how many columns or rows a cell spans."""
    return min(max(int(value), 1), _MOST_SPANNED) if value and re.fullmatch("[0-9]{1,9}", value) else 1
