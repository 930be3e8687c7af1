"""Tables in text: rows between bars, a rule below the row that names the columns."""

from __future__ import annotations

import re
from itertools import pairwise

__all__ = ("BESIDE", "NO_HEADS", "cells_of", "heads_of", "is_rule", "row_of", "rows_of", "rule_of")

BESIDE = re.compile(r"(?<=\|)\t(?=\S)|(?<=\S)\t(?=\|)")
"""Between a row and another block on the same line, as in HTML."""
NO_HEADS = "| |\t|---|"
"""Begins a table whose columns have no names."""
_CELL_END = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"^[\s|:+=-]*[-=][\s|:+=-]*$")


def row_of(cells: list[str]) -> str:
    """Return `cells` as a row."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rule_of(cells: list[str]) -> str:
    """Return the rule that makes `cells`, the row above, the names of the columns."""
    return f"|{'---|' * len(cells)}"


def cells_of(row: str) -> list[str]:
    """Return the texts between the bars of `row`."""
    return _CELL_END.split(row.strip().strip("|"))


def is_rule(row: str) -> bool:
    """Return whether `row` consists of dashes only."""
    return bool(_RULE.match(row))


def rows_of(text: str) -> list[tuple[int, str]]:
    """Return the rows of a table, each with the number of its line, from 0."""
    return [(number, row) for number, line in enumerate(text.split("\n")) for row in BESIDE.split(line)]


def heads_of(text: str) -> str:
    """Return the last row in `text` that names columns, or an empty text."""
    rows = [row for _, row in rows_of(text)]
    named = [row for row, below in pairwise(rows) if is_rule(below) and not is_rule(row)]
    return named[-1] if named else ""
