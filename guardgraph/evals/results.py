"""Stored results of evals: one row for each finished case, in any of guardgraph's databases."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select

from guardgraph.evals.case import CaseResult, Score
from guardgraph.evals.report import Report
from guardgraph.state import BadInput
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import close_engine, engine_of, read_transaction, write_transaction
from guardgraph.storage.sql.errors import place_of
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.statements import insert_new
from guardgraph.storage.sql.tables import eval_rows, eval_runs, eval_scores

__all__ = ("ResultStore", "UnknownRun", "load_report", "run_names")


class UnknownRun(BadInput, LookupError):
    """No eval run of this name is stored in this database."""

    def __init__(self, run_name: str, *, url: str) -> None:
        self.run_name, self.url = run_name, url
        remedy = "list them with `guardgraph eval show` or run_names()"
        super().__init__(f"no eval run is called {run_name!r} in {url}; {remedy}")


class ResultStore:
    """The eval results in one database; the tables are created on first use.

    An engine that is passed in stays open; one that was made from a URL is closed by `close`.
    """

    def __init__(self, store: str | Engine) -> None:
        self._engine = engine_of(store)
        self._owns_engine = not isinstance(store, Engine)
        self._codec = Codec()

    def close(self) -> None:
        """Close the database, if it was opened here."""
        if self._owns_engine:
            close_engine(self._engine)

    def begin(self, run: Report) -> Report:
        """Begin a run (a report without rows), or continue the one of that name; return what is stored of it.

        Raises:
            BadInput: a run of that name scored another suite, other cases, or by other metrics.
        """
        migrate(self._engine)
        body = self._codec.dumps({"metrics": list(run.metrics), "cases": list(run.cases)}, where="run")
        names = {"run_name": run.run_name, "suite": run.suite, "fingerprint": run.fingerprint}
        with write_transaction(self._engine) as connection:
            row = {**names, "started_at": _timestamp(run.started_at), "body": body}
            connection.execute(insert_new(connection.dialect, eval_runs), row)
        known = self.report(run.run_name)
        differences = {
            f"scored the suite {known.suite!r}, not {run.suite!r}": known.suite != run.suite,
            "scored other cases: the suite has changed since": known.fingerprint != run.fingerprint,
            f"used the metrics {', '.join(known.metrics)}": known.metrics != run.metrics,
        }
        for difference, is_different in differences.items():
            if is_different:
                raise BadInput(f"the run {run.run_name!r} {difference}; choose another `run_name`")
        return known

    def add(self, run_name: str, result: CaseResult) -> None:
        """Store a finished case with its scores, in one transaction; a row that exists already stays."""
        key = {"run_name": run_name, "case_id": result.case}
        body = self._codec.dumps({"outcome": result.outcome, "error": result.error}, where="row")
        row = {"finished_at": _timestamp(datetime.now(UTC)), "seconds": result.seconds, "body": body}
        scores = [
            {**key, **score.model_dump(), "reason": self._codec.dumps(score.reason, where="reason")}
            for score in result.scores
        ]
        with write_transaction(self._engine) as connection:
            is_new = connection.execute(insert_new(connection.dialect, eval_rows), {**key, **row}).rowcount
            if is_new and scores:
                connection.execute(insert_new(connection.dialect, eval_scores), scores)

    def report(self, run_name: str) -> Report:
        """Return what is stored of a run.

        Raises:
            UnknownRun: there is none of that name.
        """
        migrate(self._engine)
        with read_transaction(self._engine) as connection:
            runs, rows, scores = (
                connection.execute(select(table).where(table.c.run_name == run_name)).mappings().all()
                for table in (eval_runs, eval_rows, eval_scores)
            )
        if not runs:
            raise UnknownRun(run_name, url=place_of(self._engine))
        fields: dict[str, Any] = {name: value for name, value in runs[0].items() if name != "body"}
        fields |= self._codec.loads(runs[0]["body"])
        scored = {(row["case_id"], row["metric"]): self._score_in(row) for row in scores}
        results = {
            row["case_id"]: CaseResult(
                case=row["case_id"],
                seconds=row["seconds"],
                scores=tuple(filter(None, (scored.get((row["case_id"], metric)) for metric in fields["metrics"]))),
                **self._codec.loads(row["body"]),
            )
            for row in rows
        }
        return Report(**fields, rows=tuple(results[case] for case in fields["cases"] if case in results))

    def run_names(self, suite: str | None = None) -> tuple[str, ...]:
        """Return the names of all runs, or of one suite's, newest first."""
        migrate(self._engine)
        newest_first = select(eval_runs.c.run_name).order_by(eval_runs.c.started_at.desc(), eval_runs.c.run_name)
        statement = newest_first if suite is None else newest_first.where(eval_runs.c.suite == suite)
        with read_transaction(self._engine) as connection:
            return tuple(str(name) for name in connection.scalars(statement))

    def _score_in(self, row: Any) -> Score:
        reason = self._codec.loads(row["reason"])
        return Score(metric=row["metric"], value=row["value"], passed=row["passed"], reason=reason)


def load_report(store: str | Engine, run_name: str) -> Report:
    """Return what is stored of a run, finished or not.

    Raises:
        UnknownRun: there is none of that name.
        StorageError: or one of its subclasses, when the database cannot be opened or read.
    """
    with closing(ResultStore(store)) as results:
        return results.report(run_name)


def run_names(store: str | Engine, suite: str | None = None) -> tuple[str, ...]:
    """Return the names of all stored runs, or of one suite's, newest first."""
    with closing(ResultStore(store)) as results:
        return results.run_names(suite)


def _timestamp(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
