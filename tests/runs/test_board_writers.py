"""Many writers in several processes: no update of a board is lost, none is made twice, and every conflict is typed."""

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

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forked")


def written(url: str, *options: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "bench.faults.board",
        "--writers",
        "9",
        "--rounds",
        "4",
        "--keys",
        "2",
        "--url",
        url,
    ]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"])
def test_no_update_is_lost(request: pytest.FixtureRequest, database: str) -> None:
    found = written(request.getfixturevalue(f"{database}_url"))

    assert found["writes"] == 36
    assert found["lost"] == found["repeated"] == found["untyped"] == found["gaps"] == 0
    assert found["conflicts"] > 0


@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"])
def test_processes_that_are_killed_write_nothing_twice(request: pytest.FixtureRequest, database: str) -> None:
    found = written(request.getfixturevalue(f"{database}_url"), "--kills", "2")

    assert found["writes"] == 36
    assert found["lost"] == found["repeated"] == found["untyped"] == found["gaps"] == 0
