"""What hangs does not keep the process alive."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conformance.agents import AGENTS
from tests.house.sources import ROOT


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_process_ends_though_every_kind_of_agent_hangs(way: str) -> None:
    command = [sys.executable, "-m", "tests.conformance.hanging", way]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=40, check=False)

    assert (ended.stderr, ended.returncode) == ("", 0)
    assert ended.stdout.splitlines() == [f"{name}: degraded" for name in AGENTS]
