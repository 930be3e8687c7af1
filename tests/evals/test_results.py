"""What is kept of a run, and what is refused."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from guardgraph.evals import CaseResult, Report, Score, UnknownRun, load_report, run_names
from guardgraph.evals.results import ResultStore
from guardgraph.state import BadInput, Gap, Outcome
from guardgraph.storage.sql.engine import engine_of

RUN = Report(
    run_name="nightly",
    suite="letters",
    fingerprint="f" * 64,
    metrics=("n", "m"),
    cases=("b", "a"),
    rows=(),
    started_at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
)
AWKWARD = "NUL \0, half a pair \ud800, and a smile \U0001f600"


def row_of(case: str, **facts: Any) -> CaseResult:
    scores = (
        Score(metric="n", value=1 / 3, passed=False, reason=AWKWARD),
        Score(metric="m", value=1, passed=True),
    )
    return CaseResult(case=case, scores=scores, seconds=0.25, **facts)


def test_what_is_stored_comes_back_as_it_was_in_the_order_of_the_suite(database_url: str) -> None:
    outcome = Outcome(
        status="degraded", value={"text": AWKWARD, "number": 1.5}, gaps=(Gap(subtask="s", reason=AWKWARD),)
    )
    rows = (row_of("b", outcome=outcome), row_of("a", error=AWKWARD))

    with closing(ResultStore(database_url)) as results:
        results.begin(RUN)
        for row in reversed(rows):
            results.add("nightly", row)
    report = load_report(database_url, "nightly")

    assert report.rows == rows
    assert (report.suite, report.metrics, report.cases) == ("letters", ("n", "m"), ("b", "a"))
    assert report.started_at == RUN.started_at


def test_the_first_row_of_a_case_stays(database_url: str) -> None:
    with closing(ResultStore(database_url)) as results:
        results.begin(RUN)
        results.add("nightly", row_of("a", error="first"))
        results.add("nightly", row_of("a", error="second"))

        assert [row.error for row in results.report("nightly").rows] == ["first"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"suite": "digits"}, "scored the suite 'letters', not 'digits'"),
        ({"fingerprint": "0" * 64}, "scored other cases: the suite has changed since"),
        ({"metrics": ("m",)}, "used the metrics n, m"),
    ],
)
def test_a_run_is_continued_only_as_it_was_begun(sqlite_url: str, change: dict[str, Any], complaint: str) -> None:
    with closing(ResultStore(sqlite_url)) as results:
        results.begin(RUN)

        with pytest.raises(BadInput, match=f"the run 'nightly' {complaint}; choose another `run_name`"):
            results.begin(RUN.model_copy(update=change))


def test_runs_are_listed_newest_first(database_url: str) -> None:
    with closing(ResultStore(database_url)) as results:
        results.begin(RUN)
        results.begin(
            RUN.model_copy(update={"run_name": "later", "started_at": RUN.started_at + timedelta(microseconds=1)})
        )
        other = {"run_name": "other", "suite": "digits", "started_at": RUN.started_at - timedelta(days=1)}
        results.begin(RUN.model_copy(update=other))

    assert run_names(database_url) == ("later", "nightly", "other")
    assert run_names(database_url, "digits") == ("other",)


def test_a_run_that_never_was_is_unknown(sqlite_url: str) -> None:
    message = r"no eval run is called 'x' in sqlite:///.*; list them with `guardgraph eval show` or run_names\(\)"
    with pytest.raises(UnknownRun, match=message):
        load_report(sqlite_url, "x")


def test_an_engine_of_the_caller_stays_open() -> None:
    engine = engine_of("sqlite://")
    with closing(ResultStore(engine)) as results:
        results.begin(RUN)

    assert run_names(engine) == ("nightly",)
    engine.dispose()
