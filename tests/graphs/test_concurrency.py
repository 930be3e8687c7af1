"""How many agents work at a time, over a whole tree of teams, whatever happens to those below."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Budget, Deadline
from guardgraph.state import Request
from tests.graphs.teams import WAYS, plan_of, speaker, team


@dataclass
class Desk:
    """Counts who is at work."""

    at_work: int = 0
    most: int = 0
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def taken(self) -> Generator[None]:
        with self._lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        try:
            yield
        finally:
            with self._lock:
                self.at_work -= 1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_async", [False, True])
def test_code_goes_on_with_a_slot_after_the_deadline_of_a_team_it_called(way: str, is_async: bool) -> None:
    desk = Desk()
    inner = team(plan_of("x"), workers=[speaker("leaf", read=8, written=2)], guards=[Deadline(0.2)]).compile()

    def calls(request: Request) -> str:
        if request.subtask is not None and request.subtask.id == "a":
            inner.invoke({"task": request.goal})
        with desk.taken():
            time.sleep(0.4)
        return "done"

    async def acalls(request: Request) -> str:
        if request.subtask is not None and request.subtask.id == "a":
            await inner.ainvoke({"task": request.goal})
        with desk.taken():
            await asyncio.sleep(0.4)
        return "done"

    workers = [Agent("worker", run=acalls if is_async else calls)]
    outcome = WAYS[way](team(plan_of("a", "b", "c"), workers=workers, concurrency=1).compile())

    assert (outcome.status, outcome.value) == ("completed", ["done"] * 3), outcome.gaps
    assert desk.most == 1


def tree(chance: random.Random, desk: Desk, concurrency: int, depth: int) -> Any:
    """Return a team whose functions call teams below; only where no function works below its time may end early."""
    if not depth:
        workers = [speaker("model", read=80, written=20, delay=chance.choice([0, 0.02]))]
        guards = [Budget(tokens=10**6), Deadline(chance.choice([0.05, 0.2, 5]))]
        return team(plan_of("a", "b", "c"), workers=workers, guards=guards, concurrency=concurrency)
    below = tree(chance, desk, concurrency, depth - 1).compile()
    patience = chance.choice([None, 0.01, 0.1]) if depth == 1 else None
    tries, pause = chance.choice([1, 2]), chance.choice([0.001, 0.02])

    def calls(request: Request) -> str:
        for _ in range(tries):
            with desk.taken():
                time.sleep(pause)
            below.invoke({"task": request.goal})
        with desk.taken():
            time.sleep(pause)
        return "done"

    async def acalls(request: Request) -> str:
        for _ in range(tries):
            with desk.taken():
                await asyncio.sleep(pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(below.ainvoke({"task": request.goal}), patience)
        with desk.taken():
            await asyncio.sleep(pause)
        return "done"

    workers = [Agent("worker", run=chance.choice([calls, acalls]))]
    return team(plan_of("a", "b", "c"), workers=workers, guards=[Budget(tokens=10**6)], concurrency=concurrency)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(8))
def test_never_more_work_at_a_time_than_may_and_everybody_ends(way: str, seed: int) -> None:
    chance, desk = random.Random(seed), Desk()
    concurrency = chance.choice([1, 2])

    outcome = WAYS[way](tree(chance, desk, concurrency, 2).compile())

    assert (outcome.status, outcome.value) == ("completed", ["done"] * 3), outcome.gaps
    assert (desk.at_work, desk.most) == (0, concurrency)
