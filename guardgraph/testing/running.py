"""One trial in one way: what came of it, and what it left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic, sleep
from typing import Any, NamedTuple

from guardgraph.state import error_text
from guardgraph.testing.facts import Facts, facts_of
from guardgraph.testing.storages import Storage
from guardgraph.testing.trial import Trial
from guardgraph.testing.ways import Way

__all__ = ("Ran", "impossible", "run_way")

_WORKING = ("guardgraph-agent",)
_PERMANENT = ("guardgraph-idle", "guardgraph-loop", "guardgraph-sql-", "pytest", "pydevd", "IPython")
"""How threads are named that live as long as the process, or are not the graph's."""
_PATIENCE = 2.0
_LOGGERS = ("guardgraph", "langgraph", "langchain_core", "asyncio")
_OF_THE_WAY = re.compile(r"astream_events version='v1' is deprecated|astream_log is deprecated|This API is in beta")
"""What LangChain says of the way of running itself."""
_ONCE = "langgraph.checkpoint.serde.jsonplus"
"""Says once in a process which types nobody registered: of the saver, not of the run. Run strictly to see the harm."""


@dataclass(slots=True)
class Ran:
    """What came of one trial."""

    facts: Facts | None = None
    """The outcome's, where there is one."""
    problems: list[str] = field(default_factory=list[str])
    """What must not be: an exception, outcomes that differ within the way, threads and tasks left, warnings."""


def impossible(way: Way, storage: Storage, *, asks: bool) -> str | None:
    """Return why this way cannot be run on this storage; `asks` says that an agent interrupts. `None` if it can be."""
    if way.kind == "runner" and not storage.serves_runner:
        return "the Runner keeps its threads by `SQLSaver`"
    if asks and not storage.keeps_threads:
        return "LangGraph's `interrupt` needs a checkpointer"
    if asks and way.kind == "tool":
        return "a tool call takes no `Command(resume=…)`; who has the graph goes on with the thread"
    return None


def run_way(
    way: Way, storage: Storage, trial: Trial, *, limit: float = 30.0, settle: Callable[[], object] | None = None
) -> Ran:
    """Run a trial in one way on one storage, for at most `limit` seconds.

    `settle` is called before the storage is closed, and before it is looked for threads that were left behind: it ends
    what hangs on purpose.
    """
    ran, known = Ran(), set(threading.enumerate())
    with _watched(ran):
        outcomes = _outcomes(way, storage, trial, ran, limit, _Settling(settle, known))
        if settle is not None:
            settle()  # once more: it may not have come so far
        left = _left(known)
        gc.collect(1)  # a coroutine that was never awaited says so only then
    ran.problems.extend(f"thread {name!r} still runs" for name in left)
    for outcome in outcomes:
        try:
            facts = facts_of(outcome)
        except TypeError as error:
            ran.problems.append(str(error))
            continue
        if ran.facts is not None and facts != ran.facts:
            ran.problems.append(f"it tells two outcomes: {ran.facts} and {facts}")
        ran.facts = ran.facts or facts
    return ran


class _Settling(NamedTuple):
    """Ends what hangs on purpose, and lets it write for the last time while its storage is open."""

    end: Callable[[], object] | None
    known: set[threading.Thread]

    def __call__(self) -> None:
        until = monotonic() + _PATIENCE
        if self.end is not None:
            self.end()
            while any(name.startswith(_WORKING) for name in _others(self.known)) and monotonic() < until:
                sleep(0.002)


def _outcomes(
    way: Way, storage: Storage, trial: Trial, ran: Ran, limit: float, settle: Callable[[], None]
) -> list[Any]:
    """Run it in a thread of its own, so that it neither hangs the caller nor meets the caller's event loop."""
    found: list[Any] = []

    def work() -> None:
        try:
            if way.is_async:
                made = asyncio.run(_atried(way, storage, trial, ran, settle))
            else:
                made = _tried(way, storage, trial, settle)
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


def _tried(way: Way, storage: Storage, trial: Trial, settle: Callable[[], None]) -> Any:
    with storage.open() as place:
        made = way.run(replace(trial, saver=place.saver, store=place.store, url=place.url))
        settle()
        return made


async def _atried(way: Way, storage: Storage, trial: Trial, ran: Ran, settle: Callable[[], None]) -> Any:
    async with storage.aopen() as place:
        made = await way.run(replace(trial, saver=place.saver, store=place.store, url=place.url))
        await asyncio.to_thread(settle)
    until = monotonic() + _PATIENCE
    while (left := asyncio.all_tasks() - {asyncio.current_task()}) and monotonic() < until:
        await asyncio.sleep(0.002)
    ran.problems.extend(f"task {task.get_coro()!r} still runs" for task in left)
    return made


def _left(known: set[threading.Thread]) -> list[str]:
    """Return the names of the threads that were begun and do not end."""
    until = monotonic() + _PATIENCE
    while (left := _others(known)) and monotonic() < until:
        sleep(0.002)
    return sorted(left)


def _others(known: set[threading.Thread]) -> list[str]:
    return [one.name for one in threading.enumerate() if one not in known and not one.name.startswith(_PERMANENT)]


class _Collector(logging.Handler):
    def __init__(self, ran: Ran) -> None:
        super().__init__(logging.WARNING)
        self.ran = ran

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _ONCE:
            return
        self.ran.problems.append(f"it logs to {record.name}: {record.getMessage():.200}")


@contextmanager
def _watched(ran: Ran) -> Generator[None]:
    """Note every warning, and what is logged as one."""
    collector = _Collector(ran)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(collector)
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            yield
        strange = [one for one in said if not _OF_THE_WAY.match(str(one.message))]
        ran.problems.extend(f"it warns: {one.category.__name__}: {one.message}" for one in strange)
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(collector)
