"""Stock checkpointers store what is ours where LangGraph is strict: they neither warn of it nor refuse it.

Where it is not strict, a stock checkpointer warns of every type that it was not told of: see the page on checkpointers.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.house.sources import ROOT


def test_a_stock_checkpointer_stores_what_is_ours_without_a_warning() -> None:
    command = [sys.executable, "-m", "tests.conformance.stored"]
    environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true"}

    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)

    assert (ended.stderr, ended.returncode) == ("", 0)
    assert ended.stdout.count("0 did not") == 2
