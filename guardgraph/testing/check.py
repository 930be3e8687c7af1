"""One graph in all ways of running."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.testing.facts import Facts, differences
from guardgraph.testing.running import Ran, impossible, run_way
from guardgraph.testing.storages import Storage, storages
from guardgraph.testing.trial import Answer, Trial
from guardgraph.testing.ways import WAYS, Way

__all__ = ("GraphCheck", "check_graph", "compared")


@dataclass(frozen=True, slots=True)
class GraphCheck:
    """What came of a graph in all ways of running."""

    expected: Facts | None
    """The facts of the outcome of a plain `invoke`; `None` where that gave none."""
    passed: tuple[str, ...]
    """The ways that gave the same, and left nothing behind."""
    failed: dict[str, tuple[str, ...]]
    """What is wrong, by way."""
    impossible: dict[str, str]
    """The ways that were not run, with the reason."""

    def __str__(self) -> str:
        """Say it in a few lines: how many ways gave the same outcome, and what is wrong with the others."""
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

    Each has to give the outcome of a plain `invoke` (times, ids and numbers within reasons aside) with the same usage,
    tell it and store it alike, raise nothing, warn of nothing, and leave no thread and no task behind.

    Args:
        build: returns the graph, uncompiled. It is called for each run, so it makes models and agents anew.
        task: what the graph is to do.
        answer: answers what agents ask by `interrupt`, from its value. Needed where one asks.
        postgres: the URL of a PostgreSQL database to run on as well; threads are left in it.
        limit: seconds after which a run counts as hanging.
        settle: called after each run, before it is looked for threads: ends what hangs on purpose.
        ways: the ways to run; all if not given.

    Raises:
        AssertionError: a way differs; the message names each, and how.
    """
    with TemporaryDirectory(prefix="guardgraph-") as folder:
        places = storages(Path(folder), postgres=postgres)
        reference = _reference(build, task, answer, places, limit, settle)
        passed, failed, skipped = list[str](), dict[str, tuple[str, ...]](), dict[str, str]()
        for storage in places:
            for way in ways:
                name = f"{way.name} on {storage.name}"
                reason = impossible(way, storage, asks=answer is not None)
                if reason is not None:
                    skipped[name] = reason
                    continue
                ran = run_way(way, storage, Trial(build, task, answer), limit=limit, settle=settle)
                problems = compared(reference, ran)
                if problems:
                    failed[name] = problems
                else:
                    passed.append(name)
    check = GraphCheck(reference.facts, tuple(passed), failed, skipped)
    if failed:
        raise AssertionError(str(check))
    return check


def compared(reference: Ran, ran: Ran) -> tuple[str, ...]:
    """Return what is wrong with a run, beside the one that it has to equal."""
    if ran.facts is None or reference.facts is None:
        return tuple(ran.problems or ["there is no outcome"])
    return (*ran.problems, *differences(reference.facts, ran.facts))


def _reference(
    build: Callable[[], StateGraph[Any, Any, Any, Any]],
    task: Any,
    answer: Answer | None,
    places: Sequence[Storage],
    limit: float,
    settle: Callable[[], object] | None,
) -> Ran:
    """Run it by `invoke`: without a saver, or where questions are asked on the first that keeps threads."""
    plain = next(storage for storage in places if storage.keeps_threads or answer is None)
    return run_way(WAYS[0], plain, Trial(build, task, answer), limit=limit, settle=settle)
