"""Texts cut into passages: paragraphs, tables and code, each with its lines and the headings above it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

from guardgraph.text.tables import BESIDE, heads_of

__all__ = ("Passage", "PassageKind", "passages_of")

PassageKind = Literal["prose", "table", "code"]

_LENGTH = 1_500
"""A passage ends with the line that brings it to this many characters; one line may be cut at a sentence or a blank."""
_LONG = f".{{{_LENGTH // 2},{_LENGTH}}}"
_PART = re.compile(rf".{{1,{_LENGTH}}}\Z|{_LONG}\t|{_LONG}\. |{_LONG} |.{{1,{_LENGTH}}}", re.DOTALL)
"""A part of a long line: up to a block, else a sentence, else a blank, else of full length."""
_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^(=+|-+|~+)\s*$")
_SETTING = re.compile(r"^[\w-]+\s*:")
_TABLE = re.compile(r"^\s*(\||\+[-=+]+\+\s*$)")


class Passage(NamedTuple):
    """A part of a document, about a paragraph long."""

    source: str
    """The name of the document."""
    first: int
    """The number of its first line, from 1."""
    last: int
    """The number of its last line."""
    text: str
    """Its lines, verbatim (a part of one line where that line is very long)."""
    heading: str = ""
    """The headings above it, outermost first."""
    kind: PassageKind = "prose"
    """`prose`; a `table`, whose rows are used as sentences; or `code`, which has no sentences."""
    heads: str = ""
    """The row that names the columns of a table, if it is above the passage."""


class _Row(NamedTuple):
    number: int
    text: str
    kind: PassageKind | Literal["heading", "blank"]
    level: int = 0


def passages_of(source: str, text: str) -> list[Passage]:
    """Cut `text`, the document named `source`, into passages; headings are fields of the passages below them."""
    return list(_with_heads(part for passage in _paragraphs(source, text.split("\n")) for part in _cut(passage)))


def _with_heads(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Set `heads` of each part of a table; blank lines do not end a table."""
    heads = heading = ""
    for passage in passages:
        if passage.kind != "table" or passage.heading != heading:
            heads, heading = "", passage.heading
        yield passage._replace(heads=heads)
        if passage.kind == "table":
            heads = heads_of(passage.text) or heads


def _paragraphs(source: str, lines: list[str]) -> Iterator[Passage]:
    """Yield runs of rows of one kind, each with the headings above it."""
    trail: dict[int, str] = {}
    rows: list[_Row] = []
    length = 0
    for row in _rows(lines):
        if rows and (row.kind != rows[-1].kind or length > _LENGTH):
            yield _passage(source, rows, trail)
            rows, length = [], 0
        if row.kind == "heading":
            trail = {**{level: title for level, title in trail.items() if level < row.level}, row.level: row.text}
        elif row.kind != "blank":
            rows.append(row)
            length += len(row.text)
    if rows:
        yield _passage(source, rows, trail)


def _rows(lines: list[str]) -> Iterator[_Row]:
    """Yield the kind of each line, or of the blocks that share it."""
    fence = ""
    front = _front_matter(lines)
    for number, line in enumerate(lines[front:], front + 1):
        mark = _FENCE.match(line)
        if fence or mark:
            yield _Row(number, line, "code")
            fence = _fence_after(fence, line, mark)
            continue
        for block in BESIDE.split(line):
            level, title = _heading(block, lines, number)
            if level:
                yield _Row(number, title, "heading", level)
            elif not block.strip() or _is_underline(block):
                yield _Row(number, "", "blank")
            else:
                yield _Row(number, block, "table" if _TABLE.match(block) else "prose")


def _fence_after(fence: str, line: str, mark: re.Match[str] | None) -> str:
    """Return the fence that is open after `line`, or an empty text."""
    if not fence:
        return mark[1] if mark else ""
    closes = mark and mark[1].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _front_matter(lines: list[str]) -> int:
    """Return how many lines at the top hold settings between two lines of dashes; 0 if there are none."""
    if len(lines) < 2 or lines[0].strip() != "---" or not _SETTING.match(lines[1]):
        return 0
    return next((number for number, line in enumerate(lines[1:60], 2) if line.strip() == "---"), 0)


def _heading(line: str, lines: list[str], number: int) -> tuple[int, str]:
    """Return level and title of `line`, a block of line `number`, if it is marked by hashes or underlined; else 0."""
    hashes = _HEADING.match(line)
    if hashes and "\t" not in line.strip():  # a tab separates blocks that share a line of HTML
        return len(hashes[1]), hashes[2]
    above = lines[number - 2] if number > 1 else ""
    below = lines[number] if number < len(lines) else ""
    stands_alone = bool(line.strip()) and len(line) < 120 and not above.strip() and not _TABLE.match(line)
    if stands_alone and not _is_underline(line) and _is_underline(below):
        return (1 if below[0] == "=" else 2), line.strip()
    return 0, ""


def _is_underline(line: str) -> bool:
    return len(line) > 2 and bool(_UNDERLINE.match(line))


def _passage(source: str, rows: list[_Row], trail: dict[int, str]) -> Passage:
    kind: PassageKind = "table" if rows[0].kind == "table" else "code" if rows[0].kind == "code" else "prose"
    text = rows[0].text
    for above, row in pairwise(rows):
        text += ("\t" if row.number == above.number else "\n") + row.text
    heading = " / ".join(trail[level] for level in sorted(trail) if trail[level])
    return Passage(source, rows[0].number, rows[-1].number, text, heading, kind)


def _cut(passage: Passage) -> Iterator[Passage]:
    """Cut a passage whose single line is far too long; others are not changed."""
    if passage.first != passage.last or len(passage.text) <= 2 * _LENGTH:
        yield passage
        return
    for match in _PART.finditer(passage.text):
        if part := match[0].strip():
            yield passage._replace(text=part)
