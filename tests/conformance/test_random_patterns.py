"""A search for patterns of a user's own that hang, lose answers or raise, whatever their routes do.

GUARDGRAPH_SEARCH=200 runs that many by seed and prints a summary; `problems(Random(seed))` runs one of them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.random_patterns import RandomPattern, random_pattern
from tests.conformance.search import SEARCH, States, both_ways, searched

CASES = 60


def broken(pattern: RandomPattern, states: States) -> list[str]:
    """Return the answers that stand in no state, and what is completed though something is missing."""
    unended = [namespace for namespace, state in states.items() if "outcome" not in state]
    found = [f"lost: the team {namespace} has no outcome" for namespace in unended]
    found.extend(f"twice: the team {namespace} has ended" for namespace, state in states.items() if state["ends"] > 1)
    kept = Counter(str(result.value) for state in states.values() for result in state.get("results") or ())
    missing = [value for value in pattern.answered if not kept[value] and not pattern.raises]
    found.extend(f"lost: {value!r} and {len(missing) - 1} others stand nowhere" for value in missing[:1])
    if pattern.most is not None and len(pattern.subtasks) > pattern.most:
        found.append(f"overspent: {len(pattern.subtasks)} subtasks, {pattern.most} allowed")
    for state in states.values():
        outcome = state.get("outcome")
        if outcome is not None and outcome.status == "completed":
            found.extend(_untrue(pattern, state))
    return found


def _untrue(pattern: RandomPattern, state: Mapping[str, Any]) -> list[str]:
    """Return what is missing in a run that is completed."""
    found: list[str] = []
    if state["outcome"].gaps:
        found.append(f"untrue: completed with gaps {state['outcome'].gaps!r:.300}")
    if pattern.failed:
        found.append(f"untrue: completed, though {sorted(pattern.failed)} have failed")
    seen = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    answered = [result for result in state.get("results") or () if result.agent != "nobody"]
    unseen = [result.id for result in answered if result.id not in seen]
    if unseen:
        found.append(f"untrue: completed, though nobody has reviewed {unseen}")
    return found


def problems(random: Random) -> list[str]:
    """Return what is wrong with the pattern that `random` makes; a route that raises may end in a `PatternError`."""
    seed = random.getrandbits(64)
    found = both_ways(lambda: random_pattern(Random(seed)), broken)
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

    assert ": 0 hangs, 0 lost, 0 escaped, 0 overspent, 0 untrue, 0 differs, 0 twice" in told
