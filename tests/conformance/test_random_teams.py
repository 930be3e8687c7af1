"""A search for teams that lose work, overspend, hang or raise.

GUARDGRAPH_SEARCH=2000 runs that many by seed and prints a summary; `problems(Random(seed))` runs one of them again.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.invariants import broken_promises
from tests.conformance.random_teams import random_team
from tests.conformance.search import SEARCH, both_ways, searched

CASES = 60


def problems(random: Random) -> list[str]:
    """Return what is wrong with the team that `random` makes."""
    seed = random.getrandbits(64)
    return both_ways(lambda: random_team(Random(seed)), lambda team, states: broken_promises(team, states.values()))


@settings(max_examples=CASES, deadline=None, suppress_health_check=(HealthCheck.too_slow,), phases=[Phase.generate])
@given(st.integers(0, 2**32))
def test_a_random_team_keeps_the_promises(seed: int) -> None:
    assert not problems(Random(seed))


@pytest.mark.skipif(not SEARCH, reason="GUARDGRAPH_SEARCH names no number of cases")
@pytest.mark.timeout(0)
def test_many_random_teams_keep_the_promises(capsys: pytest.CaptureFixture[str]) -> None:
    told = searched("random teams", SEARCH, problems)
    with capsys.disabled():
        print(f"\n{told}")

    assert ": 0 hangs, 0 lost, 0 escaped, 0 overspent, 0 untrue, 0 differs, 0 twice" in told
