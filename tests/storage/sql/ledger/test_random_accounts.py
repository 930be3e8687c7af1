"""In random trees no account is overspent, and no call is refused while all its accounts have room.

GUARDGRAPH_SEARCH=10000 runs that many trees by seed, in some minutes, and prints figures;
`problems(seed, engine)` runs one case again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from guardgraph.storage.sql.engine import engine_of
from tests.conformance.search import SEARCH
from tests.storage.sql.ledger.random_accounts import Figures, problems

CASES = 50


@pytest.fixture
def memory() -> Iterator[Engine]:
    opened = engine_of("sqlite://")
    yield opened
    opened.dispose()


def test_random_trees_spend_exactly_what_their_accounts_allow(memory: Engine) -> None:
    figures = Figures()
    found = {seed: wrong for seed in range(CASES) if (wrong := problems(seed, memory, figures))}

    assert not found
    for what in ("calls", "refused", "refused beside the tree", "overshot", "failed", "retries", "kills", "resumes"):
        assert figures.counts[what], f"no case has {what}"


def test_so_they_do_in_each_database(database_url: str) -> None:
    engine = engine_of(database_url)

    assert not {seed: wrong for seed in range(5) if (wrong := problems(seed, engine))}
    engine.dispose()


@pytest.mark.skipif(not SEARCH, reason="GUARDGRAPH_SEARCH names no number of trees")
@pytest.mark.timeout(0)
def test_many_random_trees(memory: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    figures, found, seed, began = Figures(), dict[int, list[str]](), CASES, time.monotonic()
    while figures.counts["trees"] < SEARCH:
        seed += 1
        wrong = problems(seed, memory, figures)
        if wrong:
            found[seed] = wrong
            break
        if seed % 250 == 0:  # a database in memory only grows
            memory.dispose()
            memory = engine_of("sqlite://")
    with capsys.disabled():
        print(f"\n{dict(figures.counts)} in {time.monotonic() - began:.0f} s")

    assert not found
