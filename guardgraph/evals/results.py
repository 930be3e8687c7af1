"""Where the results of evals are kept: one row as each case finishes, in any of guardgraph's databases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self

from sqlalchemy import Engine, Select, select

from guardgraph.evals.report import Report
from guardgraph.evals.row import CaseResult
from guardgraph.evals.score import Score
from guardgraph.state import BadInput, Outcome
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import close_engine, engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.errors import place_of
from guardgraph.storage.sql.eval_tables import eval_rows, eval_runs, eval_scores
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.statements import insert_new

__all__ = ("ResultStore", "RunHead", "UnknownRun", "load_report", "run_names")


class UnknownRun(BadInput, LookupError):
    """No eval was ever run under this name in this database."""

    def __init__(self, run_name: str, *, url: str) -> None:
        self.run_name, self.url = run_name, url
        where = "list them with `guardgraph eval show` or run_names()"
        super().__init__(f"no eval run is called {run_name!r} in {url}; {where}")


class RunHead(NamedTuple):
    """What a run is, before its first case has finished."""

    run_name: str
    suite: str
    fingerprint: str
    metrics: tuple[str, ...]
    cases: tuple[str, ...]
    started_at: datetime


class ResultStore:
    """The eval results in one database; the tables are made at the first use.

    An engine that is passed in stays open; one that was made from a URL is closed with this.
    """

    def __init__(self, store: str | Engine) -> None:
        self._engine = engine_of(store)
        self._owns_engine = not isinstance(store, Engine)
        self._codec = Codec()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, if it was opened here."""
        if self._owns_engine:
            close_engine(self._engine)

    def begin(self, head: RunHead) -> Report:
        """Begin a run, or continue the one of that name; return what is known of it.

        Raises:
            BadInput: a run of that name scored another suite, other cases, or by other metrics.
        """
        migrate(self._engine)
        with write_transaction(self._engine) as connection:
            connection.execute(insert_new(connection.dialect, eval_runs), self._head_row(head))
        known = self.report(head.run_name)
        if known.suite != head.suite:
            raise BadInput(_refused(head, f"scored the suite {known.suite!r}, not {head.suite!r}"))
        if known.fingerprint != head.fingerprint:
            raise BadInput(_refused(head, "scored other cases: the suite has changed since"))
        if known.metrics != head.metrics:
            raise BadInput(_refused(head, f"used the metrics {', '.join(known.metrics)}"))
        return known

    def add(self, run_name: str, row: CaseResult) -> None:
        """Store a finished case with its scores, in one transaction; a row that is there already stays."""
        with write_transaction(self._engine) as connection:
            facts = {"run_name": run_name, "case_id": row.case}
            body = self._codec.dumps({"outcome": row.outcome, "error": row.error}, where="row")
            stored = {"finished_at": _now(), "seconds": row.seconds, "body": body}
            if not connection.execute(insert_new(connection.dialect, eval_rows), {**facts, **stored}).rowcount:
                return
            scores = [{**facts, **self._score_row(score)} for score in row.scores]
            if scores:
                connection.execute(insert_new(connection.dialect, eval_scores), scores)

    def report(self, run_name: str) -> Report:
        """Return what is stored of a run.

        Raises:
            UnknownRun: there is none of that name.
        """
        migrate(self._engine)
        with read_transaction(self._engine) as connection:
            head = connection.execute(select(eval_runs).where(eval_runs.c.run_name == run_name)).mappings().first()
            rows = connection.execute(select(eval_rows).where(eval_rows.c.run_name == run_name)).mappings().all()
            scores = connection.execute(select(eval_scores).where(eval_scores.c.run_name == run_name)).mappings().all()
        if head is None:
            raise UnknownRun(run_name, url=place_of(self._engine))
        body: dict[str, Any] = self._codec.loads(head["body"])
        by_case: dict[str, list[Score]] = {}
        for one in scores:
            by_case.setdefault(one["case_id"], []).append(self._score_in(one))
        found = {one["case_id"]: self._row_in(one, by_case.get(one["case_id"], ()), body["metrics"]) for one in rows}
        return Report(
            run_name=head["run_name"],
            suite=head["suite"],
            fingerprint=head["fingerprint"],
            metrics=tuple(body["metrics"]),
            cases=tuple(body["cases"]),
            rows=tuple(found[case] for case in body["cases"] if case in found),
            started_at=datetime.fromisoformat(head["started_at"]),
        )

    def run_names(self, suite: str | None = None) -> tuple[str, ...]:
        """Return the names of all runs, or of one suite's, newest first."""
        migrate(self._engine)
        with read_transaction(self._engine) as connection:
            return tuple(str(name) for name in connection.scalars(_names(suite)))

    def _head_row(self, head: RunHead) -> dict[str, Any]:
        body = {"metrics": list(head.metrics), "cases": list(head.cases)}
        return {
            "run_name": head.run_name,
            "suite": head.suite,
            "fingerprint": head.fingerprint,
            "started_at": head.started_at.isoformat(timespec="microseconds"),
            "body": self._codec.dumps(body, where="run"),
        }

    def _score_row(self, score: Score) -> dict[str, Any]:
        reason = self._codec.dumps(score.reason, where="reason")
        return {"metric": score.metric, "value": score.value, "passed": score.passed, "reason": reason}

    def _score_in(self, stored: Any) -> Score:
        reason = self._codec.loads(stored["reason"])
        return Score(metric=stored["metric"], value=stored["value"], passed=stored["passed"], reason=reason)

    def _row_in(self, stored: Any, scores: Sequence[Score], metrics: Sequence[str]) -> CaseResult:
        body: dict[str, Any] = self._codec.loads(stored["body"])
        outcome: Outcome | None = body["outcome"]
        ordered = tuple(sorted(scores, key=lambda score: metrics.index(score.metric)))
        return CaseResult(
            case=stored["case_id"], outcome=outcome, error=body["error"], scores=ordered, seconds=stored["seconds"]
        )


def load_report(store: str | Engine, run_name: str) -> Report:
    """Return what is stored of a run, finished or not.

    Raises:
        UnknownRun: there is none of that name.
        StorageError: or one of its subclasses, when the database cannot be opened or read.
    """
    with ResultStore(store) as results:
        return results.report(run_name)


def run_names(store: str | Engine, suite: str | None = None) -> tuple[str, ...]:
    """Return the names of all stored runs, or of one suite's, newest first."""
    with ResultStore(store) as results:
        return results.run_names(suite)


def _names(suite: str | None) -> Select[Any]:
    statement = select(eval_runs.c.run_name).order_by(eval_runs.c.started_at.desc(), eval_runs.c.run_name)
    return statement if suite is None else statement.where(eval_runs.c.suite == suite)


def _refused(head: RunHead, why: str) -> str:
    return f"the run {head.run_name!r} {why}; choose another `run_name`"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
