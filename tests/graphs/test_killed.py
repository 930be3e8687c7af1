"""A process is killed in the middle of a nested run; another one repeats only what was in flight."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.guards import Budget, GuardContext, Retry, guard
from guardgraph.state import Request
from guardgraph.storage import SQLSaver
from tests.graphs.teams import WAYS, plan_of, team, worker

ROOT = Path(__file__).parents[2]
HUNG = "do c"
"""The leaf in which the first process hangs."""


@guard(at="handoff", on_trip=Retry(1))
def wants_a_second_attempt(view: GuardContext) -> str | None:
    """Refuse the first attempt of every nested team."""
    return "once more" if view.subject.agent == "mid" and view.subject.attempt == 1 else None


def three_tiers(folder: Path, *, hangs: bool, twice: bool) -> Any:
    """Return a team of teams whose leaves note each of their runs in a file."""

    def leaf(request: Request) -> str:
        second = "mid:x#2" in request.idempotency_key
        with (folder / "runs").open("a") as file:
            file.write(f"{'second' if second else 'first'} {request.goal}\n")
        if hangs and request.goal == HUNG and second == twice:
            (folder / "hangs").touch()
            time.sleep(600)
        return request.goal

    low = team(plan_of("a", "b", "c"), workers=[worker("leaf", leaf)], guards=[], name="low").compile()
    mid = team(plan_of("m"), workers=[Agent("low", run=low)], guards=[], name="mid").compile()
    guards = [Budget(tokens=1_000), *([wants_a_second_attempt] if twice else [])]
    top = team(plan_of("x"), workers=[Agent("mid", run=mid)], guards=guards)
    return top.compile(checkpointer=SQLSaver.from_url(f"sqlite:///{folder / 'runs.db'}"))


SCRIPT = """
import sys
from pathlib import Path
from tests.graphs import test_killed as t
graph = t.three_tiers(Path(sys.argv[1]), hangs=True, twice=sys.argv[2] == "True")
t.WAYS[sys.argv[3]](graph, "the task", {"configurable": {"thread_id": "t"}})
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("twice", [False, True])
def test_only_the_leaf_in_flight_runs_again(tmp_path: Path, twice: bool, way: str) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(twice), way]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        until = time.monotonic() + 40
        while not (tmp_path / "hangs").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)  # the results of the others are written
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    graph = three_tiers(tmp_path, hangs=False, twice=twice)

    with closing(graph.checkpointer):
        outcome = graph.invoke(None, {"configurable": {"thread_id": "t"}})["outcome"]

    assert outcome.status == "completed"
    assert outcome.value == [[["do a", "do b", "do c"]]]
    runs = Counter((tmp_path / "runs").read_text().splitlines())
    last = "second" if twice else "first"
    assert runs.pop(f"{last} {HUNG}") == 2
    assert set(runs.values()) == {1}
    assert len(runs) == (5 if twice else 2)
