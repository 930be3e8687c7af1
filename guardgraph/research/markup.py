"""HTML as plain text with the same line numbers."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

from guardgraph.research.html_tables import HtmlCell, HtmlTable

__all__ = ("text_of_html",)

_SILENT = frozenset({"head", "noscript", "script", "style", "svg", "template", "title"})
_BLOCK_NAMES = """
    address article aside blockquote body br caption dd details div dl dt figcaption figure footer form h1 h2 h3 h4 h5
    h6 header hr html li main nav ol p pre section summary table tbody thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_CELLS = frozenset({"td", "th"})
_AROUND_ROWS = frozenset({"table", "tbody", "tfoot", "thead", "tr"})
_GAP = re.compile(r"[ \t]*\t[ \t]*")
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}


def text_of_html(source: str) -> str:
    """Return what a reader sees of an HTML page: line `n` holds the text of line `n` of `source`.

    Scripts, styles and the page's head are left out. Blocks that share a line are parted by a tab. Headings, list items
    and tables are marked as in Markdown; a row stands on the line of its first cell, the rule on that of the row which
    names the columns: one of `th`, or else the first. A row too long for data is read as blocks. Malformed markup is
    read as far as it goes, it never raises.
    """
    reader = _Reader(source.count("\n") + 1)
    reader.feed(source)
    reader.close()
    return "\n".join(_GAP.sub("\t", "".join(parts)).strip() for parts in reader.lines)


class _Reader(HTMLParser):
    """Collects text at the line where it stands."""

    def __init__(self, count: int) -> None:
        super().__init__(convert_charrefs=False)
        self.lines: list[list[str]] = [[] for _ in range(count)]
        self._silent: list[str] = []
        self._table = HtmlTable(self.lines)

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
        if tag in _HEADINGS:
            self._add(_HEADINGS[tag])
        elif tag == "li":
            self._add("- ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._mark(tag)

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
        self._add(data)

    def handle_entityref(self, name: str) -> None:
        text = unescape(f"&{name};")
        self._add(_on_one_line(text) if text != f"&{name};" else f"&{name}")

    def handle_charref(self, name: str) -> None:
        self._add(_on_one_line(unescape(f"&#{name};")))

    def _enter(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "table" or tag in _HEADINGS:
            self._table.spread()
        if tag == "table":
            self._table.end()
        elif tag in _AROUND_ROWS:
            self._table.end_row()
            self._table.in_head = tag == "thead" or (tag == "tr" and self._table.in_head)
        elif tag in _CELLS:
            is_head = tag == "th" or self._table.in_head
            self._table.row.append(HtmlCell.of(attributes, line=self.getpos()[0] - 1, is_head=is_head))

    def _mark(self, tag: str) -> None:
        if tag in _BLOCKS and not self._silent:
            self._put(self.getpos()[0] - 1, "\t")

    def _add(self, text: str) -> None:
        if not self._silent:
            for number, part in enumerate(text.split("\n"), self.getpos()[0] - 1):
                self._put(number, part)

    def _put(self, number: int, text: str) -> None:
        if self._table.row:
            self._table.row[-1].parts.append((number, text))
        else:
            self.lines[number].append(text)


def _on_one_line(text: str) -> str:
    return " ".join(text.splitlines())
