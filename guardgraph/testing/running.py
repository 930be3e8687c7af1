"""Run one trial in one way, and collect its outcome and problems."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import BufferingHandler
from time import monotonic, sleep
from typing import Any

from guardgraph.state import Outcome, error_text
from guardgraph.testing.storages import Storage
from guardgraph.testing.trial import Trial
from guardgraph.testing.ways import Way

__all__ = ("Facts", "Ran", "differences", "facts_of", "impossible", "run_way")

_WORKING = ("guardgraph-agent",)
"""Name prefixes of threads in which agents work."""
_PERMANENT = ("guardgraph-idle", "guardgraph-loop", "guardgraph-sql-", "pytest", "pydevd", "IPython")
"""Name prefixes of threads that live as long as the process, or do not belong to the graph."""
_PATIENCE = 2.0
"""Seconds in which threads and tasks must end after a run."""
_INTERVAL = 0.002
_LOGGERS = ("guardgraph", "langgraph", "langchain_core", "asyncio")
_EXPECTED = re.compile(r"astream_events version='v1' is deprecated|astream_log is deprecated|This API is in beta")
"""Warnings of LangChain about the way of running itself."""
_ONCE = "langgraph.checkpoint.serde.jsonplus"
"""Warns once per process about types that a saver does not know; with LANGGRAPH_STRICT_MSGPACK=true they fail."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
_ID = re.compile(r"\b[0-9a-f]{8,}(-[0-9a-f]{4,})*\b")


@dataclass(frozen=True, slots=True)
class Facts:
    """The compared part of an outcome: all but times, random ids, and numbers within reasons."""

    status: str
    value: Any
    gaps: tuple[tuple[str, ...], ...]
    """Path, subtask, agent, guard and reason of each gap, in order of these."""
    stopped_by: str | None
    evidence: tuple[Any, ...]
    confidence: float | None
    tokens: int
    calls: int
    usd: str


@dataclass(slots=True)
class Ran:
    """The result of one trial."""

    facts: Facts | None = None
    """The facts of the outcome, if there is one."""
    problems: list[str] = field(default_factory=list[str])
    """Exceptions, outcomes that differ within the way, remaining threads and tasks, warnings."""


def impossible(way: Way, storage: Storage, *, interrupts: bool) -> str | None:
    """Return why this way cannot be run on this storage, where an agent `interrupts` or not; `None` if it can."""
    if way.kind == "runner" and storage.url is None:
        return "the Runner keeps its threads by `SQLSaver`"
    if interrupts and not storage.keeps_threads:
        return "LangGraph's `interrupt` needs a checkpointer"
    if interrupts and way.kind == "tool":
        return "a tool call takes no `Command(resume=…)`; resume the thread with the graph itself"
    return None


def run_way(
    way: Way, storage: Storage, trial: Trial, *, limit: float = 30.0, settle: Callable[[], object] | None = None
) -> Ran:
    """Run a trial in one way on one storage, for at most `limit` seconds, on a new thread.

    `settle` ends what hangs on purpose. It is called before the storage is closed, and again before the check for
    remaining threads.
    """
    ran, known = Ran(), set(threading.enumerate())

    def settled() -> None:
        if settle is not None:
            settle()
            _wait_for_end(lambda: [name for name in _new_threads(known) if name.startswith(_WORKING)])

    with _collected_warnings(ran):
        outcomes = _outcomes(way, storage, trial, ran, limit, settled)
        if settle is not None:
            settle()
        remaining = _wait_for_end(lambda: _new_threads(known))
        gc.collect(1)  # a coroutine that was never awaited warns only then
    ran.problems.extend(f"thread {name!r} still runs" for name in sorted(remaining))
    for outcome in outcomes:
        try:
            facts = facts_of(outcome)
        except TypeError as error:
            ran.problems.append(str(error))
            continue
        if ran.facts is not None and facts != ran.facts:
            ran.problems.append(f"it has two outcomes: {ran.facts} and {facts}")
        ran.facts = ran.facts or facts
    return ran


def facts_of(outcome: Any) -> Facts:
    """Return the compared part of an outcome. Raises `TypeError` for any other object."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"the outcome is not an `Outcome`, but {type(outcome).__name__}: {outcome!r:.200}")
    gaps = (
        ("/".join(gap.path), _ID.sub("#", gap.subtask), gap.agent or "", gap.guard or "", _without_numbers(gap.reason))
        for gap in outcome.gaps
    )
    return Facts(
        status=outcome.status,
        value=outcome.value,
        gaps=tuple(sorted(gaps)),
        stopped_by=outcome.stopped_by,
        evidence=outcome.evidence,
        confidence=outcome.confidence,
        tokens=outcome.usage.tokens,
        calls=outcome.usage.calls,
        usd=str(outcome.usage.usd),
    )


def differences(expected: Facts, found: Facts) -> list[str]:
    """Describe each fact that is not as expected."""
    names: Mapping[str, Any] = Facts.__dataclass_fields__
    pairs = ((name, getattr(expected, name), getattr(found, name)) for name in names)
    return [f"{name} is {second!r}, not {first!r}" for name, first, second in pairs if first != second]


def _without_numbers(reason: str) -> str:
    """Return a reason without numbers and ids, which differ between runs."""
    return _NUMBER.sub("#", _ID.sub("#", reason))


def _outcomes(
    way: Way, storage: Storage, trial: Trial, ran: Ran, limit: float, settle: Callable[[], None]
) -> list[Any]:
    """Run it in a new thread: a hanging run does not block the caller, and the caller's event loop is not used."""
    found: list[Any] = []

    def work() -> None:
        try:
            if way.is_async:
                made = asyncio.run(_arun(way, storage, trial, ran, settle))
            else:
                made = _run(way, storage, trial, settle)
            found.extend(made if isinstance(made, list) else [made])
        except BaseException as error:
            ran.problems.append(f"it raises {error_text(error)}")

    worker = threading.Thread(target=work, name=f"trial-{way.name}", daemon=True)
    worker.start()
    worker.join(limit)
    if worker.is_alive():
        ran.problems.append(f"it has not ended after {limit:g} s")
        return []
    return found


def _run(way: Way, storage: Storage, trial: Trial, settle: Callable[[], None]) -> Any:
    with storage.open() as saver:
        made = way.run(_stored(trial, storage, saver))
        settle()
        return made


async def _arun(way: Way, storage: Storage, trial: Trial, ran: Ran, settle: Callable[[], None]) -> Any:
    async with storage.aopen() as saver:
        made = await way.run(_stored(trial, storage, saver))
        await asyncio.to_thread(settle)
    until = monotonic() + _PATIENCE
    while (left := asyncio.all_tasks() - {asyncio.current_task()}) and monotonic() < until:
        await asyncio.sleep(_INTERVAL)
    ran.problems.extend(f"task {task.get_coro()!r} still runs" for task in left)
    return made


def _stored(trial: Trial, storage: Storage, saver: Any) -> Trial:
    store = None if storage.make_store is None else storage.make_store()
    return trial.again(saver=saver, store=store, url=storage.url)


def _wait_for_end(find: Callable[[], list[str]]) -> list[str]:
    """Wait until `find` finds nothing, for at most `_PATIENCE` seconds, and return what it still finds."""
    until = monotonic() + _PATIENCE
    while (found := find()) and monotonic() < until:
        sleep(_INTERVAL)
    return found


def _new_threads(known: set[threading.Thread]) -> list[str]:
    """Return the names of the threads that were started since, and must end."""
    return [one.name for one in threading.enumerate() if one not in known and not one.name.startswith(_PERMANENT)]


@contextmanager
def _collected_warnings(ran: Ran) -> Generator[None]:
    """Add every warning to the problems, and every record that is logged as one."""
    handler = BufferingHandler(sys.maxsize)
    handler.setLevel(logging.WARNING)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(handler)
    logged = [record for record in handler.buffer if record.name != _ONCE]
    ran.problems.extend(f"it logs to {record.name}: {record.getMessage():.200}" for record in logged)
    unexpected = [one for one in raised if not _EXPECTED.match(str(one.message))]
    ran.problems.extend(f"it warns: {one.category.__name__}: {one.message}" for one in unexpected)
