"""Reports: a table to read, data to keep, and what got worse."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from guardgraph.evals import CaseResult, MetricSummary, Report, Score, wilson
from guardgraph.state import BadInput, Outcome, Usage


def score(metric: str, *, passed: bool, reason: str = "") -> Score:
    return Score(metric=metric, value=float(passed), passed=passed, reason=reason)


def row(case: str, usage: Usage | None = None, **passed: bool) -> CaseResult:
    outcome = Outcome(status="completed", usage=usage or Usage())
    scores = tuple(
        score(metric, passed=one, reason="" if one else "because\nof this") for metric, one in passed.items()
    )
    return CaseResult(case=case, outcome=outcome, scores=scores, seconds=0.5)


def report_of(*rows: CaseResult, cases: tuple[str, ...] = (), suite: str = "s") -> Report:
    return Report(
        run_name="r",
        suite=suite,
        fingerprint="f",
        metrics=("m", "n"),
        cases=cases or tuple(row.case for row in rows),
        rows=rows,
        started_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def test_the_table_is_one_that_a_person_wants_to_read() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=234, usd=Decimal("0.01"), calls=2)

    report = report_of(
        row("first", usage, m=True, n=True), row("second", m=True, n=False), cases=("first", "second", "x")
    )

    assert str(report).splitlines() == [
        "suite s, run r: 2 of 3 cases finished",
        "",
        "metric  passed  rate  95 % interval",
        "m       2 of 2  100%  34% to 100%",
        "n       1 of 2  50%   9% to 91%",
        "",
        "failed case  metric  score  why",
        "second       n       0.00   because of this",
        "",
        "2 model calls, 1,234 tokens, $0.0100, 1.0 s of work",
    ]


def test_a_metric_that_measures_no_case_has_no_rate() -> None:
    report = report_of(row("a", m=True))

    assert report.summaries[1] == MetricSummary(metric="n", passed=0, total=0)
    assert report.summaries[1].rate is None
    assert "n       0 of 0  -     0% to 100%" in str(report)


def test_an_unknown_price_is_shown_as_unknown() -> None:
    assert "price unknown" in str(report_of(row("a", Usage(usd=None), m=True)))


def test_at_most_twenty_failures_are_listed() -> None:
    report = report_of(*(row(f"case-{number}", m=False) for number in range(22)))

    assert str(report).count("because of this") == 20
    assert "and 2 more" in str(report)


def test_the_data_has_rates_intervals_and_rows_and_is_json() -> None:
    report = report_of(row("a", m=True), row("b", m=False), cases=("a", "b", "c"))

    data = json.loads(json.dumps(report.to_json()))

    low, high = wilson(1, 2)
    assert data["metrics"][0] == {"metric": "m", "passed": 1, "total": 2, "rate": 0.5, "low": low, "high": high}
    assert data["missing"] == ["c"]
    assert data["passed"] is False
    assert data["rows"][1]["scores"][0]["reason"] == "because\nof this"
    assert data["started_at"] == "2026-01-02T00:00:00Z"


def test_a_report_passes_only_when_nothing_failed_and_nothing_is_missing() -> None:
    assert report_of(row("a", m=True)).passed
    assert not report_of(row("a", m=True), cases=("a", "b")).passed
    assert not report_of(row("a", m=True, n=False)).passed


def test_a_score_that_passed_before_and_fails_now_is_a_regression() -> None:
    baseline = report_of(row("a", m=True, n=True), row("b", m=False))
    now = report_of(row("a", m=True, n=False), row("b", m=False))

    (found,) = now.regressions(baseline)

    assert (found.case, found.metric, found.before.passed) == ("a", "n", True)
    assert str(found) == "a: n passed before, now 0.00 because\nof this"


def test_a_score_that_passed_before_and_is_missing_now_is_a_regression() -> None:
    baseline = report_of(row("a", m=True), row("b", m=True))

    found = report_of(row("a", m=True)).regressions(baseline)

    assert [str(one) for one in found] == ["b: m passed before, now not scored"]


def test_what_got_better_is_no_regression() -> None:
    assert report_of(row("a", m=True), row("new", m=False)).regressions(report_of(row("a", m=False))) == ()


def test_runs_of_different_suites_are_not_compared() -> None:
    with pytest.raises(BadInput, match="cannot compare suite 's' with 't'"):
        report_of().regressions(report_of(suite="t"))
