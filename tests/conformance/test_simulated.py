"""Random teams in virtual time: they end, with an outcome, and the same seed gives the same run again.

GUARDGRAPH_SEARCH=10000 runs that many seeds; a seed that fails is printed, and `problems(Random(seed))` runs it again.
"""

from __future__ import annotations

from random import Random

import pytest

from tests.conformance.invariants import broken_promises
from tests.conformance.random_teams import random_team
from tests.conformance.search import SEARCH, searched
from tests.conformance.simulation import Simulated, simulate

CASES = 25


def problems(random: Random) -> list[str]:
    """Return what is wrong with the simulated team that `random` makes."""
    seed = random.getrandbits(64)
    first, again = _run(seed), _run(seed)
    if first.problems or again.problems:
        return [*first.problems, *again.problems]
    pairs = zip(first.trace, again.trace, strict=False)
    differs = next(((one, other) for one, other in pairs if one != other), None)
    if differs is None and len(first.trace) != len(again.trace):
        return [f"differs: {len(first.trace)} events, then {len(again.trace)}"]
    return [] if differs is None else [f"differs: {differs[0]} / {differs[1]}"]


def _run(seed: int) -> Simulated:
    random = Random(seed)
    team = random_team(random)
    found = simulate(team.graph.compile(), team.config, random)
    found.problems.extend([] if found.problems else broken_promises(team, found.states.values()))
    return found


@pytest.mark.parametrize("seed", range(CASES))
def test_a_simulated_team_ends_and_repeats(seed: int) -> None:
    assert not problems(Random(seed))


@pytest.mark.skipif(not SEARCH, reason="GUARDGRAPH_SEARCH names no number of cases")
@pytest.mark.timeout(0)
def test_many_simulated_teams_end_and_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    summary = searched("simulated teams", SEARCH, problems)
    with capsys.disabled():
        print(f"\n{summary}")

    assert ": 0 hangs, 0 lost, 0 escaped, 0 overspent, 0 untrue, 0 differs, 0 twice" in summary
