"""A process is killed while its agent makes effects: none is repeated, none is lost, what is unknown is reported."""

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


def killed(url: str, trials: int, *options: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "bench.faults.effects", "--trials", str(trials), "--url", url, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(("database", "trials"), [("sqlite", 20), ("postgres", 8), ("mariadb", 4)])
def test_no_effect_is_repeated_or_lost_by_a_kill(request: pytest.FixtureRequest, database: str, trials: int) -> None:
    code, report = killed(request.getfixturevalue(f"{database}_url"), trials)

    assert code == 0, report
    assert report["repeated"] == report["lost"] == report["unreported"] == report["unfinished"] == 0
    assert report["kills"] >= trials / 4


def test_without_keys_the_same_kills_repeat_effects(sqlite_url: str) -> None:
    code, report = killed(sqlite_url, 5, "--unguarded")

    assert code == 1
    assert report["repeated"] > 0
