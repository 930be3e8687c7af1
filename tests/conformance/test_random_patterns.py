"""A search for patterns of a user's own that hang, lose answers or raise, whatever their routes do.

GUARDGRAPH_SEARCH=200 runs that many by seed and prints a summary; `problems(Random(seed))` runs one of them again.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.random_patterns import RandomPattern, random_pattern
from tests.conformance.search import SEARCH, States, both_ways, searched

CASES = 60


def lost(pattern: RandomPattern, states: States) -> list[str]:
    """Return the answers that stand in no state, and what is completed though something is missing."""
    unended = [namespace for namespace, state in states.items() if "outcome" not in state]
    found = [f"lost: the team {namespace} has no outcome" for namespace in unended]
    kept = Counter(str(result.value) for state in states.values() for result in state.get("results") or ())
    if not pattern.restarts:
        missing = [value for value in pattern.answered if not kept[value]]
        found.extend(f"lost: {value!r} and {len(missing) - 1} others stand nowhere" for value in missing[:1])
    for state in states.values():
        outcome = state.get("outcome")
        if outcome is not None and outcome.status == "completed" and outcome.gaps:
            found.append(f"untrue: completed with gaps {outcome.gaps!r:.300}")
    return found


def problems(random: Random) -> list[str]:
    """Return what is wrong with the pattern that `random` makes; a route that raises may end in a `PatternError`."""
    seed = random.getrandbits(64)
    found = both_ways(lambda: random_pattern(Random(seed)), lost)
    pattern = random_pattern(Random(seed))
    told = [one for one in found if not (pattern.raises and "PatternError" in one)]
    return [f"{one} [{', '.join(pattern.routes)}]" for one in told]


@settings(max_examples=CASES, deadline=None, suppress_health_check=(HealthCheck.too_slow,), phases=[Phase.generate])
@given(st.integers(0, 2**32))
def test_a_random_pattern_ends_in_an_outcome(seed: int) -> None:
    assert not problems(Random(seed))


@pytest.mark.skipif(not SEARCH, reason="GUARDGRAPH_SEARCH names no number of cases")
@pytest.mark.timeout(0)
def test_many_random_patterns_end_in_an_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    told = searched("random patterns", SEARCH, problems)
    with capsys.disabled():
        print(f"\n{told}")

    assert ": 0 hangs, 0 lost, 0 escaped, 0 overspent, 0 untrue, 0 differs" in told
