"""Some calls of a run to its database fail; `bench/faults/nth_call.py` lets each of them fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.faults.failing_calls import KINDS, failing_calls
from bench.faults.nth_call import Tally, Trials, calls_of_a_run, graphs_of, trial
from bench.faults.team import Effects
from guardgraph.runs import Runner

_TRIALS = 6


@pytest.mark.parametrize("team", ["pipeline", "supervisor"])
def test_a_run_ends_as_without_the_fault_and_its_status_is_true_in_between(
    database_url: str, tmp_path: Path, team: str
) -> None:
    log, tally = Effects(tmp_path / "effects"), Tally()
    graphs = graphs_of(log)
    with Runner(database_url, graphs=graphs) as runner:
        runner.run(team, "first")
        with failing_calls(runner.saver.engine) as calls:
            trials = Trials(runner, calls, log, team)
            count, good = calls_of_a_run(trials)
            for number in range(_TRIALS):
                kind = KINDS[number % len(KINDS)]
                trial(trials, number * count // _TRIALS, kind, good, tally)

    assert "completed" in good
    assert tally.raised > 0
    assert (tally.trials, tally.untyped, tally.lies, tally.other, tally.twice) == (_TRIALS, [], [], [], [])
