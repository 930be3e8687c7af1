"""A pattern is read in one sitting: its file says how agents, gates and decisions are connected, and nothing more."""

from __future__ import annotations

import pytest

from tests.house.sources import ROOT

PATTERNS = ("pipeline", "router", "supervisor", "hierarchy", "consensus", "swarm", "reactive", "auction")
LINES = 150


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_file_of_a_pattern_is_short(pattern: str) -> None:
    lines = (ROOT / "guardgraph" / "graphs" / f"{pattern}.py").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= LINES
