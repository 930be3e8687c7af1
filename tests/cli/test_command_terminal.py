"""What a run shows on a terminal, and what is left there when it has ended."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.sources import ROOT

TEAM = """
import time
from guardgraph.graphs import pipeline
from guardgraph.guards import Budget
from guardgraph.agents import Agent

def slowly(request):
    time.sleep(0.5)
    return request.goal

def fails(request):
    raise OSError("out of order")

def team():
    agents = [Agent("first", run=slowly), Agent("second", run=slowly), Agent("third", run=fails)]
    return pipeline(agents, guards=[Budget(tokens=5_000, usd="2.00")])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with a team."""
    (tmp_path / "shown_team.py").write_text(TEAM)
    return tmp_path


RUN = ("run", "shown_team:team", "--input", '"x"', "--thread", "t")


def shown(folder: Path, *arguments: str, interrupt_at: str = "") -> tuple[int, str]:
    """Run the team, or do what `arguments` say; return the exit code and what its terminal showed, without colours.

    Ctrl-C is pressed once `interrupt_at` is on the screen.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "guardgraph", *(arguments or RUN)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    written, screen = b"", ""
    while data := _read(ours):
        written += data
        screen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode("utf-8", "replace"))
        if interrupt_at and interrupt_at in screen:
            process.send_signal(signal.SIGINT)
            interrupt_at = ""
    os.close(ours)
    return process.wait(30), screen


def _read(terminal: int) -> bytes:
    """Return what comes next; nothing when the other side is closed, which Linux tells as an error."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def test_a_run_of_any_graph_shows_agents_costs_and_a_budget_bar(folder: Path) -> None:
    code, screen = shown(folder)

    assert code == 1, "a critical stage has failed"
    assert re.search(r"(^|\r)thread t\r\n", screen)
    assert re.search(r"first +x +\d\.\d s", screen)
    assert "1 at work, 1 done · 0 of 5,000 tokens · $0.00 of $2.00 · " in screen
    assert re.search(r"budget ░{19}\|░{11}\|░{7}\| 0%", screen)
    assert "] third failed: OSError: out of order" in screen


def test_the_effect_of_ctrl_c_is_printed_above_the_display(folder: Path) -> None:
    code, screen = shown(folder, interrupt_at="1 at work")

    assert code == 130
    assert "stopping when the agents at work are done; Ctrl-C again stops at once\r\n" in screen
    last = screen.rstrip().splitlines()[-1]
    assert last.endswith("not finished; go on with: guardgraph resume t")


def test_a_resumed_run_counts_on_from_what_was_done(folder: Path) -> None:
    shown(folder, interrupt_at="1 at work")

    code, screen = shown(folder, "resume", "t")

    assert code == 1, "a critical stage has failed"
    assert "1 at work, 1 done" in screen
    assert "0 done" not in screen
