"""Running the cases, and what each has to equal."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import StateGraph

from guardgraph.testing import WAYS, Ran, Storage, Trial, compared, run_way, storages
from tests.conformance.agents import AGENTS, Behaviour, answer, hold
from tests.conformance.cases import Case
from tests.conformance.patterns import PATTERNS

__all__ = ("problems", "reference")

_WAYS = {way.name: way for way in WAYS}
_LIMIT = 30.0
_PATIENCE = (1, 10)
"""By how much more time an agent gets than it declares, where a clock ends it: the second is for a busy machine."""
_TASK = "Do it."


@cache
def reference(pattern: str, agent: str, behaviour: Behaviour, patience: int = 1) -> Ran:
    """Return what `invoke` gives, without a saver (or in memory where a question is asked)."""
    name = "InMemorySaver" if behaviour == "asks" else "no saver"
    plain = next(storage for storage in storages(Path()) if storage.name == name)
    return _ran("invoke", plain, pattern, agent, behaviour, patience)


def problems(case: Case, places: Mapping[str, Storage]) -> tuple[str, ...]:
    """Return what is wrong with a case: nothing, if it equals its reference."""
    if case.storage not in places:
        pytest.skip(f"{case.storage} cannot be reached")
    found: tuple[str, ...] = ()
    for patience in _PATIENCE if case.behaviour == "hangs" else _PATIENCE[:1]:
        expected = reference(case.pattern, case.agent, case.behaviour, patience)
        with _strict() if case.serializer == "strict" else _by_default():
            ran = _ran(case.way, places[case.storage], case.pattern, case.agent, case.behaviour, patience)
        found = compared(expected, ran)
        if not found:
            break
    return found


def _ran(way: str, storage: Storage, pattern: str, agent: str, behaviour: Behaviour, patience: int) -> Ran:
    def build() -> StateGraph[Any, Any, Any, Any]:
        tested = AGENTS[agent](behaviour)
        timeout = None if tested.timeout is None else tested.timeout * patience
        return PATTERNS[pattern](replace(tested, timeout=timeout))

    trial = Trial(build, _TASK, answer if behaviour == "asks" else None)
    return run_way(_WAYS[way], storage, trial, limit=_LIMIT, settle=hold.release)


@contextmanager
def _by_default() -> Generator[None]:
    yield


@contextmanager
def _strict() -> Generator[None]:
    """Do as LANGGRAPH_STRICT_MSGPACK=true does when LangGraph is imported (see `test_strict.py` for the variable)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("langgraph.checkpoint.serde._msgpack.STRICT_MSGPACK_ENABLED", True)
        patch.setattr("langgraph._internal._serde.STRICT_MSGPACK_ENABLED", True)
        yield
