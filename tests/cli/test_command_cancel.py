"""`guardgraph cancel`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardgraph.cli.entry import main
from tests.runs import team


@pytest.fixture
def thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A thread whose run waits, in the database that the command uses."""
    monkeypatch.setenv("WORKED", str(tmp_path / "worked.txt"))
    monkeypatch.setenv("GUARDGRAPH_DB", f"sqlite:///{tmp_path}/runs.db")
    assert main(["run", "tests.runs.team:asking", "--input", '"t"', "--thread", "monday"]) == 4
    return "monday"


def test_a_run_is_ended_with_what_it_has(thread: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert team.asking is not None
    capsys.readouterr()
    assert main(["cancel", thread, "--reason", "not needed", "--json"]) == 0
    out, err = capsys.readouterr()
    output = json.loads(out)

    assert (output["status"], output["waiting"], err) == ("cancelled", [], "")
    assert {gap["subtask"] for gap in output["outcome"]["gaps"]} >= {"part-1"}
    assert "not needed" in output["outcome"]["gaps"][0]["reason"]
    assert main(["threads", "list", "--status", "cancelled", "--json"]) == 0
    assert [one["thread_id"] for one in json.loads(capsys.readouterr().out)] == [thread]


def test_one_that_has_ended_and_one_that_is_not_there_are_errors(
    thread: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cancel", thread]) == 0
    assert "cancelled · tests.runs.team:asking · thread monday" in capsys.readouterr().err
    assert main(["cancel", thread]) == 2
    assert "has ended (cancelled)" in capsys.readouterr().err
    assert main(["cancel", "nowhere", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "UnknownThread"


def test_a_second_run_beside_one_that_has_not_ended_is_bad_input(
    thread: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["run", "tests.runs.team:asking", "--input", '"t"', "--thread", thread]) == 2
    assert "has a run that has not ended" in capsys.readouterr().err
