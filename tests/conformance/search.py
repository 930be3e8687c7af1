"""Running random cases, a few in the tests, many where GUARDGRAPH_SEARCH names a number."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from guardgraph.state import Outcome, error_text
from guardgraph.testing import facts_of

__all__ = ("SEARCH", "States", "add_state", "both_ways", "run_watched", "searched")

SEARCH = int(os.environ.get("GUARDGRAPH_SEARCH", "0"))
"""How many random cases the big search runs; 0 leaves it out."""
_LIMIT = 20.0

States = dict[tuple[str, ...], Mapping[str, Any]]


def run_watched(work: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Return what `work` returns, and what is wrong with it: an exception that leaves it, or no end."""
    found: list[Any] = []
    problems: list[str] = []

    def body() -> None:
        try:
            found.append(work())
        except BaseException as error:
            problems.append(f"escaped: {error_text(error)}")

    worker = threading.Thread(target=body, name="search", daemon=True)
    worker.start()
    worker.join(_LIMIT)
    if worker.is_alive():
        return None, [f"hangs: no end after {_LIMIT:g} s"]
    return (found or [None])[0], problems


def states_of(graph: Any, config: Any) -> States:
    """Run a graph; return the state of every team in it with which it was left, the outermost at `()`."""
    states: States = {}
    for namespace, part in graph.compile().stream({"task": "the task"}, config, stream_mode="tasks", subgraphs=True):
        add_state(states, namespace, part)
    return states


def add_state(states: States, namespace: tuple[str, ...], part: Any) -> None:
    """Add what a streamed part shows of the end of a team."""
    if part["name"] != "guard_exit":
        return
    known = states.get(namespace, {})
    if "input" in part:
        states[namespace] = {**part["input"], "ends": known.get("ends", 0)}
    elif "outcome" in part["result"]:
        states[namespace] = {**known, "outcome": part["result"]["outcome"], "ends": known["ends"] + 1}


def both_ways(make: Callable[[], Any], check: Callable[[Any, States], list[str]]) -> list[str]:
    """Run a graph sync and async (made twice); return what is wrong with either, and how they differ.

    What is made has a `graph`, a `config`, and `is_steady` where both have to give the same outcome.
    """
    first, second = make(), make()
    states, problems = run_watched(lambda: states_of(first.graph, first.config))
    outcome = (states or {}).get((), {}).get("outcome")
    if states is not None:
        problems.extend(_no_outcome(outcome) or check(first, states))
    first.is_given_up = True
    told, more = run_watched(lambda: asyncio.run(second.graph.compile().ainvoke({"task": "the task"}, second.config)))
    second.is_given_up = True
    problems.extend(f"async: {one}" for one in more)
    if told is not None:
        problems.extend(f"async: {one}" for one in _no_outcome(told.get("outcome")))
    if first.is_steady and not problems and told is not None and facts_of(outcome) != facts_of(told["outcome"]):
        problems.append(f"differs: sync {facts_of(outcome)}, async {facts_of(told['outcome'])}")
    return problems


def _no_outcome(outcome: Any) -> list[str]:
    return [] if isinstance(outcome, Outcome) else [f"escaped: it ends without an outcome, with {outcome!r:.200}"]


def searched(name: str, number: int, problems_of: Callable[[Random], list[str]]) -> str:
    """Run `number` cases by their seeds; return a summary, in which every seed that fails is named."""
    kinds: Counter[str] = Counter()
    told: list[str] = []
    for seed in range(number):
        problems = problems_of(Random(seed))
        kinds.update({problem.removeprefix("async: ").partition(":")[0] for problem in problems})
        told.extend(f"  seed {seed}: {' '.join(problem.split())[:300]}" for problem in problems[:2])
    named = ("hangs", "lost", "escaped", "overspent", "untrue", "differs", "twice")
    head = ", ".join(f"{kinds[kind]} {kind}" for kind in named)
    return "\n".join([f"{number} {name}: {head}", *told[:100]])
