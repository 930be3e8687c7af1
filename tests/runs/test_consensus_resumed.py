"""A consensus whose process was killed, or that waits for a person, keeps the answers that are back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import consensus, majority
from guardgraph.runs import Runner
from guardgraph.state import Request
from tests.graphs.panels import scored
from tests.storage.sql.leased import expire_leases

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from guardgraph.runs import Runner
from tests.runs import test_consensus_resumed as t
folder = Path(sys.argv[1])
graphs = {"panel": lambda: t.panel(folder, hangs=sys.argv[2])}
Runner(f"sqlite:///{folder / 'runs.db'}", graphs=graphs).run("panel", "Is it acceptable?", thread_id="t")
"""


def panel(folder: Path, *, hangs: str = "") -> Any:
    """Return a panel with a judge; each notes in a file that it works, and one of them hangs."""

    def agent(name: str, run: Any) -> Agent:
        def work(request: Request) -> Any:
            with (folder / "worked").open("a", encoding="utf-8") as file:
                file.write(f"{name} {[item.value for item in request.results]}\n")
            if name == hangs:
                (folder / "hangs").touch()
                time.sleep(600)
            return run(request)

        return Agent(name, run=work)

    judge = agent("judge", lambda request: scored(request, lambda value: 5 if value == "b" else 2))
    agents = [agent(name, lambda _, value=value: value) for name, value in (("p0", "a"), ("p1", "b"), ("p2", "a"))]
    return consensus(agents, judge=judge)


@pytest.mark.parametrize(
    ("hangs", "worked"),
    [("p1", {"p0": 1, "p1": 2, "p2": 1, "judge": 1}), ("judge", {"p0": 1, "p1": 1, "p2": 1, "judge": 2})],
)
def test_after_a_kill_only_what_was_in_flight_runs_again(tmp_path: Path, hangs: str, worked: dict[str, int]) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), hangs], cwd=ROOT)
    try:
        until = time.monotonic() + 40
        while not (tmp_path / "hangs").exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)  # the answers of the others are written
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)

    expire_leases(f"sqlite:///{tmp_path / 'runs.db'}")
    with Runner(f"sqlite:///{tmp_path / 'runs.db'}", graphs={"panel": lambda: panel(tmp_path)}) as runner:
        run = runner.resume("t")

    lines = (tmp_path / "worked").read_text(encoding="utf-8").splitlines()
    judged = [line for line in lines if line.startswith("judge")]
    assert run.outcome is not None
    assert (run.outcome.status, run.outcome.value, run.outcome.dissent) == ("completed", "b", ("a", "a"))
    assert Counter(line.split()[0] for line in lines) == worked
    assert len(set(judged)) == 1  # the same candidates in the same order


def test_a_panelist_waits_for_a_person_while_the_others_are_kept(database_url: str) -> None:
    asked: Counter[str] = Counter()

    def answers(request: Request) -> str:
        asked["bare"] += 1
        return "no"

    human = Agent("human", run=lambda request: str(interrupt("acceptable?")))
    agents = [human, Agent("p1", run=answers), Agent("p2", run=lambda request: "yes")]
    with Runner(database_url, graphs={"panel": lambda: consensus(agents, vote=majority)}) as runner:
        waiting = runner.run("panel", "Is it acceptable?")
        run = runner.resume(waiting.thread_id, answers={waiting.waiting[0].id: "no"})

    assert waiting.status == "waiting"
    assert run.outcome is not None
    assert (run.outcome.value, run.outcome.dissent) == ("no", ("yes",))
    assert asked == {"bare": 1}
