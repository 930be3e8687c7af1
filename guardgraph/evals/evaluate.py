"""Running a suite against a graph: each case is stored as it finishes."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from contextvars import copy_context
from datetime import UTC, datetime
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple, Unpack

from langchain_core.runnables import RunnableConfig
from sqlalchemy import Engine
from typing_extensions import TypedDict

from guardgraph.evals.case import Case, CaseResult
from guardgraph.evals.metrics.facts_found import FactsFound
from guardgraph.evals.metrics.metric import Metric, scores_of
from guardgraph.evals.metrics.status_as_expected import StatusAsExpected
from guardgraph.evals.report import Report
from guardgraph.evals.results import ResultStore
from guardgraph.evals.suite import Suite
from guardgraph.evals.target import Target, arun_case, check_target, config_for, run_case
from guardgraph.state import BadInput, Unserializable, new_id

__all__ = ("EvalOptions", "Progress", "aevaluate", "evaluate")

_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")
_IN_MEMORY = "sqlite://"


class Progress(NamedTuple):
    """One more case has finished, and is stored."""

    row: CaseResult
    done: int
    """Finished cases, including those of an earlier start of the run."""
    total: int


class EvalOptions(TypedDict, total=False):
    """Options of `evaluate` and `aevaluate`."""

    store: str | Engine | None
    """A database URL, or an engine; without one only the report is kept."""
    metrics: Sequence[Metric] | None
    """What to score by; outcome status and expected facts by default."""
    concurrency: int
    """How many cases are run at a time, 4 by default; `evaluate` runs each in a thread of its own."""
    run_name: str | None
    """1 to 200 characters; a new name is made up if none is given."""
    progress: Callable[[Progress], None] | None
    """Called after each case, in the caller's thread, once it is stored. What it raises ends the eval."""
    config: RunnableConfig | None
    """Passed on to the graph, with the attempt's own thread id."""


class _Run(NamedTuple):
    """A run of a suite that has begun."""

    known: Report
    pending: list[Case]
    metrics: tuple[Metric, ...]
    results: ResultStore
    concurrency: int
    progress: Callable[[Progress], None]
    config: RunnableConfig | None

    def scored(self, case: Case, result: CaseResult) -> CaseResult:
        scores = scores_of(self.metrics, case, result.outcome, error=result.error)
        return result.model_copy(update={"scores": scores})

    def store(self, result: CaseResult, number: int) -> Progress:
        """Store a result, the `number`-th of this start; one that cannot be stored becomes an error."""
        try:
            self.results.add(self.known.run_name, result)
        except Unserializable as error:
            result = result.model_copy(update={"outcome": None, "error": f"the outcome cannot be stored: {error}"})
            self.results.add(self.known.run_name, result)
        return Progress(result, len(self.known.rows) + number, len(self.known.cases))


def evaluate(suite: Suite, graph: Target, **options: Unpack[EvalOptions]) -> Report:
    """Run every case of `suite` through `graph`, score the outcomes, and return the report.

    A case whose graph raises is a finished case with failed scores, and so is one whose metric raises. With `store` and
    `run_name`, a run that was cut off is continued: finished cases are not run again, unfinished ones are.
    LangSmith's tracing is off during the run. Each attempt has a thread id of its own.

    Args:
        suite: the cases; see `load_suite`.
        graph: any compiled LangGraph graph that takes `task` and returns an `outcome`, or a function from a task
            to an outcome (or its fields).
        options: see `EvalOptions`.

    Raises:
        BadInput: an argument does not fit, or `run_name` was used for another suite or other metrics.
        StorageError: or one of its subclasses; what was stored before stays.
    """
    check_target(graph, is_async=False)
    run = _begin(suite, **options)
    with closing(run.results):
        for number, result in enumerate(_run_in_threads(run, graph), start=1):
            run.progress(run.store(result, number))
        return run.results.report(run.known.run_name)


async def aevaluate(suite: Suite, graph: Target, **options: Unpack[EvalOptions]) -> Report:
    """See `evaluate`; the graph's `ainvoke` is used, and a function may be asynchronous.

    Metrics and the database work in threads, so that the event loop stays free.
    """
    check_target(graph, is_async=True)
    run = await asyncio.to_thread(_begin, suite, **options)
    with closing(run.results):
        number = 0
        async with aclosing(_run_in_tasks(run, graph)) as results:
            async for result in results:
                number += 1
                run.progress(await asyncio.to_thread(run.store, result, number))
        return await asyncio.to_thread(run.results.report, run.known.run_name)


def _begin(
    suite: Suite,
    *,
    store: str | Engine | None = None,
    metrics: Sequence[Metric] | None = None,
    concurrency: int = 4,
    run_name: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    config: RunnableConfig | None = None,
) -> _Run:
    """Check the arguments, open the store, and begin or continue the run."""
    chosen = _checked((StatusAsExpected(), FactsFound()) if metrics is None else tuple(metrics))
    if concurrency < 1:
        raise BadInput(f"`concurrency` must be at least 1, got {concurrency!r}")
    if run_name is not None and not _NAME.fullmatch(run_name):
        raise BadInput(f"`run_name` must have 1 to 200 characters and no control characters, got {run_name!a:.80}")
    now = datetime.now(UTC)
    run = Report(
        run_name=run_name or f"{suite.name[:150]}-{now:%Y%m%d-%H%M%S}-{new_id()[:6]}",
        suite=suite.name,
        fingerprint=suite.fingerprint,
        metrics=tuple(metric.name for metric in chosen),
        cases=tuple(case.id for case in suite.cases),
        rows=(),
        started_at=now,
    )
    results = ResultStore(_IN_MEMORY if store is None else store)
    try:
        known = results.begin(run)
    except BaseException:
        results.close()
        raise
    pending = [case for case in suite.cases if case.id in known.missing]
    return _Run(known, pending, chosen, results, concurrency, progress or _ignored, config)


def _ignored(progress: Progress) -> None:
    """Do nothing: the caller did not ask for progress."""


def _checked(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    if not metrics:
        raise BadInput("`metrics` is empty; an eval needs at least one")
    for metric in metrics:
        name = str(getattr(metric, "name", ""))
        if not (_NAME.fullmatch(name) and callable(metric)):
            raise BadInput(f"{metric!r:.80} is no metric: it needs a `name` and must be callable")
    name, count = Counter(metric.name for metric in metrics).most_common(1)[0]
    if count > 1:
        raise BadInput(f"two metrics are called {name!r}; give each its own name")
    return metrics


def _run_in_threads(run: _Run, graph: Target) -> Iterator[CaseResult]:
    """Yield results as cases finish; the threads are daemons, so that a hung graph does not keep the process alive."""
    finished: SimpleQueue[CaseResult | BaseException] = SimpleQueue()
    pending = iter(run.pending)

    def work(case: Case) -> None:
        try:
            finished.put(run.scored(case, run_case(graph, case, config_for(case, run.known.run_name, run.config))))
        except BaseException as error:  # raised in the caller's thread
            finished.put(error)

    def start(cases: Iterable[Case]) -> None:
        for case in cases:
            Thread(target=copy_context().run, args=(work, case), name=f"eval-{case.id}", daemon=True).start()

    start(islice(pending, run.concurrency))
    for _ in run.pending:
        result = finished.get()
        if isinstance(result, BaseException):
            raise result
        start(islice(pending, 1))
        yield result


async def _run_in_tasks(run: _Run, graph: Target) -> AsyncGenerator[CaseResult]:
    """Yield results as cases finish; leaving early cancels the others."""
    slots = asyncio.Semaphore(run.concurrency)

    async def work(case: Case) -> CaseResult:
        async with slots:
            result = await arun_case(graph, case, config_for(case, run.known.run_name, run.config))
            return await asyncio.to_thread(run.scored, case, result)

    tasks = [asyncio.create_task(work(case)) for case in run.pending]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
