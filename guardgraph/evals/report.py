"""The result of evaluating a suite."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime

from guardgraph.evals.case import Name
from guardgraph.evals.row import CaseResult
from guardgraph.evals.score import Score
from guardgraph.evals.table import cells_in_columns, one_line
from guardgraph.evals.wilson import Interval, wilson
from guardgraph.state import BadInput, FrozenModel, Usage, to_json

__all__ = ("MetricSummary", "Regression", "Report")

_SHOWN = 20


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
        """Where the true share lies, with 95 % confidence (Wilson's score interval)."""
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
    """All that is known of one run of a suite; `print(report)` is a table."""

    run_name: Name
    """What the run is continued and found by."""
    suite: Name
    """The name of the suite."""
    fingerprint: str
    """That of the suite; see `Suite.fingerprint`."""
    metrics: tuple[Name, ...]
    """The names of the metrics, in the order of the table."""
    cases: tuple[Name, ...]
    """The ids of all cases of the suite, in its order."""
    rows: tuple[CaseResult, ...]
    """The finished cases, in the order of the suite."""
    started_at: AwareDatetime
    """When the run was begun, in UTC."""

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
        """What all outcomes cost together; what a graph spent that raised is not known, and not in it."""
        return Usage.total(row.outcome.usage for row in self.rows if row.outcome)

    def regressions(self, baseline: Report) -> tuple[Regression, ...]:
        """Return every score that passed in `baseline` and does not pass here, in the order of the baseline.

        A score that passed there and is missing here counts too, so that nothing gets better by leaving cases out.

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
        return {
            **to_json(self),
            "metrics": [_tally_json(tally) for tally in self.summaries],
            "missing": list(self.missing),
            "passed": self.passed,
            "usage": to_json(self.usage),
        }

    def __str__(self) -> str:
        head = f"suite {self.suite}, run {self.run_name}: {len(self.rows)} of {len(self.cases)} cases finished"
        cells = [("metric", "passed", "rate", "95 % interval"), *map(_tally_cells, self.summaries)]
        return "\n".join([head, "", *cells_in_columns(cells), *self._failures(), "", self._costs()])

    def _failures(self) -> list[str]:
        failed = [
            (row.case, score.metric, f"{score.value:.2f}", one_line(score.reason))
            for row in self.rows
            for score in row.scores
            if not score.passed
        ]
        if not failed:
            return []
        more = [f"and {len(failed) - _SHOWN} more"] if len(failed) > _SHOWN else []
        cells = [("failed case", "metric", "score", "why"), *failed[:_SHOWN]]
        return ["", *cells_in_columns(cells), *more]

    def _costs(self) -> str:
        usage, seconds = self.usage, sum(row.seconds for row in self.rows)
        money = "price unknown" if usage.usd is None else f"${usage.usd:.4f}"
        return f"{usage.calls} model calls, {usage.tokens:,} tokens, {money}, {seconds:.1f} s of work"


def _tally_cells(tally: MetricSummary) -> tuple[str, str, str, str]:
    rate = "-" if tally.rate is None else f"{tally.rate:.0%}"
    low, high = tally.interval
    return tally.metric, f"{tally.passed} of {tally.total}", rate, f"{low:.0%} to {high:.0%}"


def _tally_json(tally: MetricSummary) -> dict[str, Any]:
    return {**to_json(tally), "rate": tally.rate, "low": tally.interval.low, "high": tally.interval.high}
