"""Texts in columns."""

from __future__ import annotations

from guardgraph.evals.table import cells_in_columns, one_line


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert cells_in_columns([("a", "bbb", "c"), ("dd", "e", "")]) == ["a   bbb  c", "dd  e"]


def test_one_line_has_no_control_characters() -> None:
    assert one_line("a\x1b[31mb\n\tc\x00d") == "a [31mb c d"


def test_one_line_is_cut_above_its_limit_only() -> None:
    assert one_line("x" * 10, longest=10) == "x" * 10
    assert one_line("x" * 11, longest=10) == "x" * 9 + "…"
