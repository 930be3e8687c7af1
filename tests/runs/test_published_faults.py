"""The owner of a thread is killed while two other processes publish; the whole form is `bench.faults.published`."""

from __future__ import annotations

from pathlib import Path

from bench.faults.published import measured


def test_nothing_is_lost_and_nothing_is_handled_twice(tmp_path: Path) -> None:
    found = measured(f"sqlite:///{tmp_path}/runs.db", str(tmp_path), events=240, kills=1)

    assert (found["events"], found["distinct"], found["lost"], found["settled twice"]) == (240, 240, 0, 0)
    assert (found["parked"], found["poisoned"], found["out of order"], found["killed"]) == (2, 2, 0, 1)
