"""Running a suite against a graph: case by case, each stored as it finishes."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, closing
from contextvars import copy_context
from datetime import UTC, datetime
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple

from langchain_core.runnables import RunnableConfig
from sqlalchemy import Engine

from guardgraph.evals.case import Case
from guardgraph.evals.metrics.facts_found import FactsFound
from guardgraph.evals.metrics.metric import Metric
from guardgraph.evals.metrics.status_as_expected import StatusAsExpected
from guardgraph.evals.report import Report
from guardgraph.evals.results import ResultStore, RunHead
from guardgraph.evals.row import CaseResult
from guardgraph.evals.scoring import scores_of
from guardgraph.evals.suite import Suite
from guardgraph.evals.target import CaseRun, Target, aattempt, attempt, config_for, require_target
from guardgraph.state import BadInput, Unserializable, new_id

__all__ = ("Progress", "aevaluate", "evaluate")

_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")


class Progress(NamedTuple):
    """One more case has finished, and is stored."""

    row: CaseResult
    done: int
    """Cases that have finished, those of an earlier start of the run included."""
    total: int


class _Run(NamedTuple):
    """An eval on its way."""

    head: RunHead
    metrics: tuple[Metric, ...]
    cases: tuple[Case, ...]
    rows: dict[str, CaseResult]
    results: ResultStore | None
    config: RunnableConfig | None

    @property
    def pending(self) -> list[Case]:
        return [case for case in self.cases if case.id not in self.rows]

    def row_of(self, case: Case, made: CaseRun) -> CaseResult:
        scores = scores_of(self.metrics, case, made.outcome, error=made.error)
        return CaseResult(case=case.id, outcome=made.outcome, error=made.error, scores=scores, seconds=made.seconds)

    def keep(self, row: CaseResult) -> Progress:
        """Store a row; only then may anybody be told of it."""
        if self.results:
            try:
                self.results.add(self.head.run_name, row)
            except Unserializable as error:
                row = row.model_copy(update={"outcome": None, "error": f"the outcome cannot be stored: {error}"})
                self.results.add(self.head.run_name, row)
        self.rows[row.case] = row
        return Progress(row, len(self.rows), len(self.cases))

    def close(self) -> None:
        if self.results:
            self.results.close()

    def report(self) -> Report:
        if self.results:
            return self.results.report(self.head.run_name)
        rows = tuple(self.rows[case] for case in self.head.cases)
        return Report(**self.head._asdict(), rows=rows)


def evaluate(
    suite: Suite,
    graph: Target,
    *,
    store: str | Engine | None = None,
    metrics: Sequence[Metric] | None = None,
    concurrency: int = 4,
    run_name: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    config: RunnableConfig | None = None,
) -> Report:
    """Run every case of `suite` through `graph`, score the outcomes, and return the report.

    A case whose graph raises is a finished case with failed scores, and so is one whose metric raises. With `store` and
    `run_name`, a run that was cut off is continued: finished cases are not run again, those that were under way are.
    LangSmith's tracing is off inside. Each attempt has a thread id of its own.

    Args:
        suite: the cases; see `load_suite`.
        graph: any compiled LangGraph graph that takes `task` and tells `outcome`, or a function from a task to an
            outcome (or its fields).
        store: a database URL, or an engine; without one nothing is kept but the report.
        metrics: what to score by; outcome status and expected facts by default.
        concurrency: how many cases are run at a time, each in a thread of its own.
        run_name: 1 to 200 characters; a new name is made up if none is given.
        progress: called after each case, in the caller's thread, once it is stored. What it raises ends the eval.
        config: passed on to the graph, with the attempt's own thread id.

    Raises:
        BadInput: an argument does not fit, or `run_name` was used for another suite or other metrics.
        StorageError: or one of its subclasses; what was stored before stays.
    """
    require_target(graph, running_loop=False)
    begun = _begun(suite, store=store, metrics=metrics, concurrency=concurrency, run_name=run_name, config=config)
    with closing(begun) as run:
        with closing(_rows_in_threads(run, graph, concurrency)) as rows:
            for row in rows:
                done = run.keep(row)
                if progress:
                    progress(done)
        return run.report()


async def aevaluate(
    suite: Suite,
    graph: Target,
    *,
    store: str | Engine | None = None,
    metrics: Sequence[Metric] | None = None,
    concurrency: int = 4,
    run_name: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    config: RunnableConfig | None = None,
) -> Report:
    """See `evaluate`; the graph's `ainvoke` is used, and a function may be asynchronous.

    Metrics and the database work in threads, so that the event loop stays free.
    """
    require_target(graph, running_loop=True)
    begun = await asyncio.to_thread(
        _begun, suite, store=store, metrics=metrics, concurrency=concurrency, run_name=run_name, config=config
    )
    with closing(begun) as run:
        async with aclosing(_rows_in_tasks(run, graph, concurrency)) as rows:
            async for row in rows:
                done = await asyncio.to_thread(run.keep, row)
                if progress:
                    progress(done)
        return await asyncio.to_thread(run.report)


def _begun(
    suite: Suite,
    *,
    store: str | Engine | None,
    metrics: Sequence[Metric] | None,
    concurrency: int,
    run_name: str | None,
    config: RunnableConfig | None,
) -> _Run:
    """Check the arguments, open the store, and begin or continue the run."""
    chosen = _checked((StatusAsExpected(), FactsFound()) if metrics is None else tuple(metrics))
    if concurrency < 1:
        raise BadInput(f"`concurrency` must be at least 1, got {concurrency!r}")
    if run_name is not None and not _NAME.fullmatch(run_name):
        raise BadInput(f"`run_name` must have 1 to 200 characters and no control characters, got {run_name!a:.80}")
    now = datetime.now(UTC)
    head = RunHead(
        run_name=run_name or f"{suite.name[:150]}-{now:%Y%m%d-%H%M%S}-{new_id()[:6]}",
        suite=suite.name,
        fingerprint=suite.fingerprint,
        metrics=tuple(metric.name for metric in chosen),
        cases=tuple(case.id for case in suite.cases),
        started_at=now,
    )
    if store is None:
        return _Run(head, chosen, suite.cases, {}, None, config)
    results = ResultStore(store)
    try:
        known = results.begin(head)
    except BaseException:
        results.close()
        raise
    return _Run(head, chosen, suite.cases, {row.case: row for row in known.rows}, results, config)


def _checked(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    if not metrics:
        raise BadInput("`metrics` is empty; an eval needs at least one")
    for metric in metrics:
        name: object = getattr(metric, "name", None)
        if not (isinstance(name, str) and _NAME.fullmatch(name) and callable(metric)):
            raise BadInput(f"{metric!r:.80} is no metric: it needs a `name` and must be callable")
    twice = [name for name, count in Counter(metric.name for metric in metrics).items() if count > 1]
    if twice:
        raise BadInput(f"two metrics are called {twice[0]!r}; give each its own name")
    return metrics


def _rows_in_threads(run: _Run, graph: Target, concurrency: int) -> Generator[CaseResult]:
    """Yield the rows of pending cases as they finish; daemon threads, so that a hung graph cannot hold the process."""
    waiting: SimpleQueue[Case | None] = SimpleQueue()
    finished: SimpleQueue[CaseResult | BaseException] = SimpleQueue()
    pending = run.pending
    stopped = False

    def work() -> None:
        while (case := waiting.get()) is not None and not stopped:
            try:
                made = attempt(graph, case, config_for(case, run.head.run_name, run.config))
                finished.put(run.row_of(case, made))
            except BaseException as error:  # handed to the caller's thread
                finished.put(error)

    workers = min(concurrency, len(pending))
    for case in [*pending, *[None] * workers]:
        waiting.put(case)
    for number in range(workers):
        Thread(target=copy_context().run, args=(work,), name=f"guardgraph-eval-{number}", daemon=True).start()
    try:
        for _ in pending:
            row = finished.get()
            if isinstance(row, BaseException):
                raise row
            yield row
    finally:
        stopped = True


async def _rows_in_tasks(run: _Run, graph: Target, concurrency: int) -> AsyncGenerator[CaseResult]:
    """Yield the rows of pending cases as they finish; leaving early cancels the others."""
    places = asyncio.Semaphore(concurrency)

    async def work(case: Case) -> CaseResult:
        async with places:
            made = await aattempt(graph, case, config_for(case, run.head.run_name, run.config))
            return await asyncio.to_thread(run.row_of, case, made)

    tasks = [asyncio.create_task(work(case)) for case in run.pending]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
