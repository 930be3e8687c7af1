"""The result of evaluating a suite."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

from pydantic import AwareDatetime

from guardgraph.evals.case import CaseResult, Name, Score
from guardgraph.state import BadInput, FrozenModel, Usage, one_line, to_json

__all__ = ("Interval", "MetricSummary", "Regression", "Report", "in_columns", "wilson")

_MAX_FAILURES = 20


class Interval(NamedTuple):
    """A range of shares, from 0 to 1, both ends included."""

    low: float
    high: float


def wilson(passed: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Return the score interval of a share: the range of the true one if `passed` of `total` independent cases passed.

    The formula is that of E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (158), 1927, pp. 209-212, without continuity correction. It
    stays within 0 and 1, and is accurate for few cases and for shares of 0 and 1. Without any case it is 0 to 1.

    >>> wilson(8, 10)
    Interval(low=0.490162..., high=0.943317...)

    Raises:
        BadInput: a count is negative, more passed than there are, or `confidence` is not between 0 and 1.
    """
    if not 0 <= passed <= total:
        raise BadInput(f"`passed` must be between 0 and `total`, got {passed!r} of {total!r}")
    if not 0 < confidence < 1:
        raise BadInput(f"`confidence` must be between 0 and 1, got {confidence!r}")
    if total == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = passed / total, z * z / total
    center = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * sqrt(share * (1 - share) / total + weight / (4 * total))
    return Interval(
        0.0 if passed == 0 else max(0.0, center - reach),
        1.0 if passed == total else min(1.0, center + reach),
    )


class MetricSummary(FrozenModel):
    """How many cases passed one metric."""

    metric: Name
    """The name of the metric."""
    passed: int
    """Cases that passed."""
    total: int
    """Cases that were scored."""

    @property
    def rate(self) -> float | None:
        """The share that passed, from 0 to 1; `None` when no case was scored."""
        return self.passed / self.total if self.total else None

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval of the rate (Wilson's score interval)."""
        return wilson(self.passed, self.total)


class Regression(FrozenModel):
    """A score that passed in the baseline and does not pass now."""

    case: Name
    """The id of the case."""
    metric: Name
    """The name of the metric."""
    before: Score
    """The score in the baseline."""
    after: Score | None
    """The score now; `None` if the case was not scored by this metric."""

    def __str__(self) -> str:
        why = "not scored" if self.after is None else f"{self.after.value:.2f} {self.after.reason}".rstrip()
        return f"{self.case}: {self.metric} passed before, now {why}"


class Report(FrozenModel):
    """The results of one run of a suite; `print(report)` is a table."""

    run_name: Name
    """The name by which the run is found and continued."""
    suite: Name
    """The name of the suite."""
    fingerprint: str
    """The fingerprint of the suite; see `Suite.fingerprint`."""
    metrics: tuple[Name, ...]
    """The names of the metrics, in the order of the table."""
    cases: tuple[Name, ...]
    """The ids of all cases of the suite, in its order."""
    rows: tuple[CaseResult, ...]
    """The finished cases, in the order of the suite."""
    started_at: AwareDatetime
    """When the run began, in UTC."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of the cases that have not finished."""
        done = {row.case for row in self.rows}
        return tuple(case for case in self.cases if case not in done)

    @property
    def passed(self) -> bool:
        """Whether every case has finished and passed every metric."""
        return not self.missing and all(row.passed for row in self.rows)

    @property
    def summaries(self) -> tuple[MetricSummary, ...]:
        """How many cases passed each metric."""
        scores = [score for row in self.rows for score in row.scores]
        by_metric = {name: [score.passed for score in scores if score.metric == name] for name in self.metrics}
        return tuple(MetricSummary(metric=name, passed=sum(one), total=len(one)) for name, one in by_metric.items())

    @property
    def usage(self) -> Usage:
        """The usage of all outcomes together; that of a graph that raised is unknown and not included."""
        return Usage.total(row.outcome.usage for row in self.rows if row.outcome)

    def regressions(self, baseline: Report) -> tuple[Regression, ...]:
        """Return every score that passed in `baseline` and does not pass here, in the order of the baseline.

        A score that passed there and is missing here counts too, so leaving cases out cannot improve a comparison.

        Raises:
            BadInput: `baseline` is a run of another suite.
        """
        if baseline.suite != self.suite:
            raise BadInput(f"cannot compare suite {self.suite!r} with {baseline.suite!r}; choose a run of the same one")
        now = {(row.case, score.metric): score for row in self.rows for score in row.scores}
        before = [(row.case, score) for row in baseline.rows for score in row.scores if score.passed]
        compared = [(case, score, now.get((case, score.metric))) for case, score in before]
        return tuple(
            Regression(case=case, metric=score.metric, before=score, after=after)
            for case, score, after in compared
            if after is None or not after.passed
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON data, with rates and intervals."""
        metrics = [{**to_json(one), "rate": one.rate, **one.interval._asdict()} for one in self.summaries]
        more = {"missing": list(self.missing), "passed": self.passed, "usage": to_json(self.usage)}
        return {**to_json(self), "metrics": metrics, **more}

    def __str__(self) -> str:
        head = f"suite {self.suite}, run {self.run_name}: {len(self.rows)} of {len(self.cases)} cases finished"
        rates = [("metric", "passed", "rate", "95 % interval"), *map(_summary_cells, self.summaries)]
        failed = [_failure_cells(row.case, one) for row in self.rows for one in row.scores if not one.passed]
        failures = ["", *in_columns([("failed case", "metric", "score", "why"), *failed[:_MAX_FAILURES]])]
        if len(failed) > _MAX_FAILURES:
            failures.append(f"and {len(failed) - _MAX_FAILURES} more")
        usage, seconds = self.usage, sum(row.seconds for row in self.rows)
        price = "price unknown" if usage.usd is None else f"${usage.usd:.4f}"
        costs = f"{usage.calls} model calls, {usage.tokens:,} tokens, {price}, {seconds:.1f} s of work"
        return "\n".join([head, "", *in_columns(rates), *(failures if failed else []), "", costs])


def _summary_cells(summary: MetricSummary) -> tuple[str, str, str, str]:
    rate = "-" if summary.rate is None else f"{summary.rate:.0%}"
    low, high = summary.interval
    return summary.metric, f"{summary.passed} of {summary.total}", rate, f"{low:.0%} to {high:.0%}"


def _failure_cells(case: str, score: Score) -> tuple[str, str, str, str]:
    return case, score.metric, f"{score.value:.2f}", one_line(score.reason)


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines of text whose columns are aligned; all rows have the same number of cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
