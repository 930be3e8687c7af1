"""HTML as plain text with the same line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import unescape
from html.parser import HTMLParser
from itertools import groupby, zip_longest
from typing import Literal, NamedTuple

from guardgraph.text.tables import NO_HEADS, row_of, rule_of

__all__ = ("text_of_html",)

_MAX_ROW = 700
"""A row of more characters is no data: tables lay out pages too."""
_MAX_SPAN = 100
_SILENT = frozenset({"head", "noscript", "script", "style", "svg", "template", "title"})
_BLOCK_NAMES = """
    address article aside blockquote body br caption dd details div dl dt figcaption figure footer form h1 h2 h3 h4 h5
    h6 header hr html li main nav ol p pre section summary table tbody thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_AROUND_ROWS = frozenset({"table", "tbody", "tfoot", "thead", "tr"})
_GAP = re.compile(r"[ \t]*\t[ \t]*")
_MARKS = {"li": "- "} | {f"h{level}": "#" * level + " " for level in range(1, 7)}


def text_of_html(source: str) -> str:
    """Return what a reader sees of an HTML page: line `n` holds the text of line `n` of `source`.

    Scripts, styles and the page's head are left out. Blocks that share a line are separated by a tab. Headings, list
    items and tables are marked as in Markdown; a row is on the line of its first cell, the rule on that of the row
    which names the columns: one of `th`, or else the first. A row too long for data is read as blocks. Malformed markup
    is read as far as possible and never raises.
    """
    reader = _Reader(source.count("\n") + 1)
    reader.feed(source)
    reader.close()
    return "\n".join(_GAP.sub("\t", "".join(parts)).strip() for parts in reader.lines)


class _Reader(HTMLParser):
    """Collects the text of each line."""

    def __init__(self, count: int) -> None:
        super().__init__(convert_charrefs=False)
        self.lines: list[list[str]] = [[] for _ in range(count)]
        self._silent: list[str] = []
        self._table = _Table(self.lines)

    def close(self) -> None:
        super().close()
        self._table.end()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body" or (tag in _BLOCKS and self._silent == ["head"]):  # a page need not close its head
            self._silent.clear()
        elif tag in _SILENT:
            self._silent.append(tag)
        if not self._silent:
            self._enter(tag, dict(attrs))
        self._mark(tag)
        self.handle_data(_MARKS.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            while self._silent.pop() != tag:
                pass
        if not self._silent and tag in _AROUND_ROWS:
            self._table.end_row()
            if tag == "table":
                self._table.end()
            elif tag == "thead":
                self._table.in_head = False
        self._mark(tag)

    def handle_data(self, data: str) -> None:
        if not self._silent:
            for number, part in enumerate(data.split("\n"), self.getpos()[0] - 1):
                self._put(number, part)

    def handle_entityref(self, name: str) -> None:
        text = unescape(f"&{name};")
        self.handle_data(" ".join(text.splitlines()) if text != f"&{name};" else f"&{name}")

    def handle_charref(self, name: str) -> None:
        self.handle_entityref(f"#{name}")

    def _enter(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "table" or _MARKS.get(tag, "").startswith("#"):
            self._table.write_as_text()
        if tag == "table":
            self._table.end()
        elif tag in _AROUND_ROWS:
            self._table.end_row()
            self._table.in_head = tag == "thead" or (tag == "tr" and self._table.in_head)
        elif tag in {"td", "th"}:
            is_head = tag == "th" or self._table.in_head
            columns, rows = _span(attributes.get("colspan")), _span(attributes.get("rowspan"))
            self._table.row.append(_Cell(self.getpos()[0] - 1, is_head, columns, rows, []))

    def _mark(self, tag: str) -> None:
        if tag in _BLOCKS and not self._silent:
            self._put(self.getpos()[0] - 1, "\t")

    def _put(self, number: int, text: str) -> None:
        if self._table.row:
            self._table.row[-1].parts.append((number, text))
        else:
            self.lines[number].append(text)


class _Cell(NamedTuple):
    """One cell and the columns and rows that it spans; `parts` are texts, each with the index of its line."""

    line: int
    is_head: bool
    columns: int
    rows: int
    parts: list[tuple[int, str]]

    @property
    def text(self) -> str:
        """Its content, on one line."""
        lines = ("".join(part for _, part in parts) for _, parts in groupby(self.parts, key=lambda part: part[0]))
        return " ".join(" ".join(lines).split())


class _Table:
    """Collects the rows of one table, and writes each on the line of its first cell when the table ends."""

    def __init__(self, lines: list[list[str]]) -> None:
        """Write to `lines`, the texts on each line; the reader of the page adds cells to `row`."""
        self.row: list[_Cell] = []
        self.in_head = False
        self._rows: list[list[_Cell]] = []
        self._lines = lines

    def end_row(self) -> None:
        """Keep the row until the table ends, if it is data."""
        if len(row_of([cell.text for cell in self.row])) > _MAX_ROW:
            self.write_as_text()
        elif any(cell.text for cell in self.row):
            self._rows.append(self.row)
        self.row = []

    def write_as_text(self) -> None:
        """Write the text of the current row on its own lines: its cells contain blocks, no data."""
        for cell in self.row:
            for number, text in [(cell.line, "\t"), *cell.parts]:
                self._lines[number].append(text)
        self.row = []

    def end(self) -> None:
        """Write all rows; cells that follow belong to another table."""
        self.end_row()
        for number, row in _in_markdown(list(_with_spans(self._rows))):
            self._lines[number].append(f"\t{row}\t")
        self._rows, self.in_head = [], False


class _Row(NamedTuple):
    line: int
    texts: list[str]
    """The text of every column."""
    kind: Literal["heads", "data", "mixed", "title"]
    """`title` for a row with a single text; else the kind of its cells."""


def _in_markdown(rows: list[_Row]) -> Iterator[tuple[int, str]]:
    """Yield the text of each row with the index of its line; a rule follows a row that names the columns.

    Such a row has heads only, or it is the first one, and data follows. A table without one begins with `NO_HEADS`.
    """
    has_begun = False
    for row, following in zip_longest(rows, rows[1:]):
        is_first = not has_begun and row.kind == "data" and following is not None and following.kind != "heads"
        text = row_of(row.texts)
        if row.kind == "heads" or is_first:
            yield row.line, f"{text}\t\t{rule_of(row.texts)}"
        else:
            yield row.line, text if has_begun else f"{NO_HEADS}\t\t{text}"
        has_begun = has_begun or row.kind != "title"


def _with_spans(rows: Iterable[list[_Cell]]) -> Iterator[_Row]:
    """Yield each row with the text of every column; a cell that spans rows repeats its text in each."""
    above: dict[int, tuple[int, str]] = {}
    for cells in rows:
        texts: list[str] = []
        below: dict[int, tuple[int, str]] = {}
        pending = cells[::-1]
        while pending or len(texts) in above:
            column = len(texts)
            if column in above:
                rows_left, text = above[column]
                texts.append(text)
            else:
                cell = pending.pop()
                rows_left, text = cell.rows, cell.text
                is_repeated = cell.is_head and len(cells) > 1
                texts += [text, *([text if is_repeated else ""] * (cell.columns - 1))]
            if rows_left > 1:
                below |= {at: (rows_left - 1, texts[at]) for at in range(column, len(texts))}
        above = below
        heads = [cell.is_head for cell in cells if cell.text or cell is not cells[0]]
        kind = "heads" if all(heads) else "mixed" if any(heads) else "data"
        yield _Row(cells[0].line, texts, kind if sum(map(bool, texts)) > 1 else "title")


def _span(value: str | None) -> int:
    """Return how many columns or rows a cell spans."""
    return min(max(int(value), 1), _MAX_SPAN) if value and re.fullmatch("[0-9]{1,9}", value) else 1
