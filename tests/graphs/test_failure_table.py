"""What the outcome is in every pattern, whatever happens to one of its agents."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner
from guardgraph.state import Outcome, Request
from tests.conformance.patterns import PATTERNS
from tests.storage.sql.leased import expire_leases

ROOT = Path(__file__).parents[2]


class _Endless(TypedDict, total=False):
    number: int


def _raises(request: Request) -> str:
    raise ConnectionError("no route to host")


def _hangs(request: Request) -> str:
    time.sleep(30)
    return "late"


def _loops() -> Any:
    graph = StateGraph(_Endless)
    graph.add_node("again", lambda state: {"number": 1})
    graph.add_edge(START, "again").add_edge("again", "again")
    return graph.compile().with_config(recursion_limit=25)


FAILURES: Mapping[str, Callable[[], Agent]] = {
    "raises": lambda: Agent("tested", run=_raises, skills={"tested"}),
    "hangs": lambda: Agent("tested", run=_hangs, timeout=0.1, skills={"tested"}),
    "returns garbage": lambda: Agent("tested", run=lambda request: "seven", output=int, skills={"tested"}),
    "returns nothing": lambda: Agent("tested", run=lambda request: None, skills={"tested"}),
    "loops": lambda: Agent(
        "tested",
        run=_loops(),
        to_input=lambda request: {},
        from_output=lambda output: output["number"],
        skills={"tested"},
    ),
}
REASONS = {
    "raises": "ConnectionError: no route to host",
    "hangs": "no answer after",
    "returns garbage": "valid integer",
    "returns nothing": "",
    "loops": "GraphRecursionError",
}
GRAPHS = {
    **PATTERNS,
    "critical stage": lambda agent: pipeline([Agent("first", run=str), agent, Agent("last", run=str)]),
}
CELLS: Mapping[str, tuple[str, list[str], bool]] = {
    "supervisor": ("degraded", ["tested"], True),
    "pipeline": ("degraded", ["tested"], True),
    "critical stage": ("failed", ["tested", "last"], True),
    "router": ("completed", [], True),  # the fallback worker has answered
    "own pattern": ("degraded", ["tested"], True),
    "nested supervisor": ("degraded", ["team:outer/tested"], True),
    "parallel stage": ("degraded", ["tested"], True),
    "hierarchy": ("degraded", ["lead-tier:outer/tested"], True),
    "consensus": ("degraded", ["tested"], True),
    "swarm": ("degraded", ["tested"], True),
    "auction": ("degraded", ["tested"], True),
    "reactive": ("degraded", ["0:task:tested"], True),
    "board": ("degraded", ["tested"], True),
    "guarded graph": ("completed", [], True),  # what a team in a node leaves out is the graph's own business
}
"""The status, what is missing, and whether there is a value; the same for each failure."""
WITHIN_A_TEAM = {("consensus", "returns garbage"): ["typed/tested", "typed"]}
"""An agent with a schema of its own is a panelist as a team, which is missing as well."""


def test_every_pattern_has_a_row() -> None:
    assert CELLS.keys() == GRAPHS.keys()


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("pattern", GRAPHS)
def test_an_agent_that_fails(pattern: str, failure: str) -> None:
    outcome: Outcome = GRAPHS[pattern](FAILURES[failure]()).compile().invoke({"task": "the task"})["outcome"]

    status, missing, has_value = CELLS[pattern]
    missing = WITHIN_A_TEAM.get((pattern, failure), missing)
    assert (outcome.status, ["/".join((*gap.path, gap.subtask)) for gap in outcome.gaps]) == (status, missing)
    assert (outcome.value is not None) == has_value
    assert not missing or REASONS[failure] in outcome.gaps[0].reason


def dies_once(folder: str, pattern: str) -> Any:
    """Return a pattern in which an agent kills its process when it works for the first time."""

    def work(request: Request) -> str:
        import os
        import signal

        mark = Path(folder) / "killed"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    return GRAPHS[pattern](Agent("tested", run=work, skills={"tested"}))


SCRIPT = """
import sys
from guardgraph.runs import Runner
from tests.graphs.test_failure_table import dies_once
folder, pattern = sys.argv[1:]
with Runner(f"sqlite:///{folder}/runs.db", graphs={"g": lambda: dies_once(folder, pattern)}) as runner:
    runner.run("g", "the task", thread_id="t")
"""


@pytest.mark.parametrize("pattern", GRAPHS)
def test_a_process_that_is_killed(pattern: str, tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path, pattern], cwd=ROOT, check=False, timeout=60)
    assert killed.returncode == -9

    expire_leases(f"sqlite:///{tmp_path}/runs.db")
    with Runner(f"sqlite:///{tmp_path}/runs.db", graphs={"g": lambda: dies_once(str(tmp_path), pattern)}) as runner:
        run = runner.resume("t")

    assert run.outcome is not None
    assert (run.outcome.status, run.outcome.gaps) == ("completed", ())
