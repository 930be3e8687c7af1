"""Texts in columns."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ("cells_in_columns", "one_line")

_GAP = "  "


def cells_in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one line for each of `rows` (all of the same length), with their cells below each other.

    >>> cells_in_columns([("metric", "passed"), ("facts_found", "4 of 5")])
    ['metric       passed', 'facts_found  4 of 5']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def one_line(text: str, *, longest: int = 160) -> str:
    """Return `text` without line breaks and control characters, cut after `longest` characters.

    >>> one_line("first\\nsecond", longest=9)
    'first se…'
    """
    flat = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"
