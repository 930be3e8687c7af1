"""Rows: what became of one case."""

from __future__ import annotations

import pytest

from guardgraph.evals import CaseResult, Score

GOOD = Score(metric="m", value=1, passed=True)
BAD = Score(metric="n", value=0, passed=False)


@pytest.mark.parametrize(
    ("row", "passed"),
    [
        (CaseResult(case="a", scores=(GOOD,)), True),
        (CaseResult(case="a"), True),
        (CaseResult(case="a", scores=(GOOD, BAD)), False),
        (CaseResult(case="a", error="RuntimeError: x"), False),
    ],
)
def test_a_row_passes_when_all_its_scores_do_and_nothing_was_raised(row: CaseResult, passed: bool) -> None:
    assert row.passed is passed
