"""Processes are killed at random moments: nothing that was reported or stored is done again, and no effect repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes to be killed are forked")


def killed(faults: str, url: str, trials: int, *options: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", f"bench.faults.{faults}", "--trials", str(trials), "--url", url, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(("database", "trials"), [("sqlite", 3), ("postgres", 2), ("mariadb", 1)])
def test_nothing_that_was_reported_or_stored_is_done_again(
    request: pytest.FixtureRequest, database: str, trials: int
) -> None:
    code, found = killed("kills", request.getfixturevalue(f"{database}_url"), trials)

    assert code == 0, found
    assert found["kills"] >= 1
    assert found["stored"] > 0


@pytest.mark.parametrize(("database", "trials"), [("sqlite", 6), ("postgres", 3), ("mariadb", 2)])
def test_no_effect_is_repeated_or_lost(request: pytest.FixtureRequest, database: str, trials: int) -> None:
    code, found = killed("effects", request.getfixturevalue(f"{database}_url"), trials)

    assert code == 0, found
    assert found["repeated"] == found["lost"] == found["unreported"] == found["unfinished"] == 0
    assert found["kills"] >= 1


def test_without_keys_the_same_kills_repeat_effects(sqlite_url: str) -> None:
    code, found = killed("effects", sqlite_url, 5, "--unguarded")

    assert code == 1
    assert found["repeated"] > 0
