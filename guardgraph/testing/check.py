"""Run one graph in all ways and compare the outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.testing.running import Facts, Ran, differences, impossible, run_way
from guardgraph.testing.storages import storages
from guardgraph.testing.trial import Answer, Trial
from guardgraph.testing.ways import WAYS, Way

__all__ = ("GraphCheck", "check_graph", "compared")


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """The result of running a graph in all ways."""

    expected: Facts | None
    """The facts of the outcome of a plain `invoke`; `None` if it had none."""
    passed: tuple[str, ...]
    """The ways that gave the same outcome, and left no thread or task running."""
    failed: dict[str, tuple[str, ...]]
    """The problems of each way that failed."""
    impossible: dict[str, str]
    """The ways that were not run, with the reason."""

    def __str__(self) -> str:
        """Return how many ways gave the same outcome, and the problems of the others, one per line."""
        head = f"{len(self.passed)} ways of running gave the same outcome, {len(self.failed)} did not"
        return "\n".join([head, *(f"- {way}: {'; '.join(why)}" for way, why in self.failed.items())])


def check_graph(
    build: Callable[[], StateGraph[Any, Any, Any, Any]],
    *,
    task: Any = "Do what there is to do.",
    answer: Answer | None = None,
    postgres: str | None = None,
    limit: float = 30.0,
    settle: Callable[[], object] | None = None,
    ways: Sequence[Way] = WAYS,
) -> GraphCheck:
    """Run a graph in every way, on every storage that is possible here, and compare the outcomes.

    Each must return and store the outcome of a plain `invoke` (except times, ids, and numbers within reasons), with the
    same usage, without an exception or a warning, and without a thread or task that still runs.

    Args:
        build: returns the graph, uncompiled. It is called for each run, so it makes models and agents anew.
        task: what the graph is to do.
        answer: returns the answer to an `interrupt`, from its value. Needed where an agent interrupts.
        postgres: the URL of a PostgreSQL database to run on as well; threads are left in it.
        limit: seconds after which a run counts as hanging.
        settle: called after each run, before the check for remaining threads; ends what hangs on purpose.
        ways: the ways to run; all if not given.

    Raises:
        AssertionError: a way differs; the message names each such way and its differences.
    """
    with TemporaryDirectory(prefix="guardgraph-") as folder:
        found = storages(Path(folder), postgres=postgres)
        run = partial(run_way, trial=Trial(build, task, answer), limit=limit, settle=settle)
        reference = run(WAYS[0], next(storage for storage in found if storage.keeps_threads or answer is None))
        pairs = {f"{way.name} on {storage.name}": (way, storage) for storage in found for way in ways}
        reasons = {name: impossible(*pair, interrupts=answer is not None) for name, pair in pairs.items()}
        problems = {name: compared(reference, run(*pair)) for name, pair in pairs.items() if reasons[name] is None}
    passed = tuple(name for name, why in problems.items() if not why)
    failed = {name: why for name, why in problems.items() if why}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    check = GraphCheck(reference.facts, passed, failed, skipped)
    if failed:
        raise AssertionError(str(check))
    return check


def compared(reference: Ran, ran: Ran) -> tuple[str, ...]:
    """Return the problems of a run, including how its outcome differs from the reference."""
    if ran.facts is None or reference.facts is None:
        return tuple(ran.problems or ["there is no outcome"])
    return (*ran.problems, *differences(reference.facts, ran.facts))
