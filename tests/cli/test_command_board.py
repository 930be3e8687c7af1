"""`guardgraph board`: the entries of a board, and the versions of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guardgraph.cli.entry import main
from guardgraph.runs import Runner

URL = "sqlite:///boards.db"


@pytest.fixture(autouse=True)
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a database with a board of a thread, and one that all threads share."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUARDGRAPH_DB", URL)
    with Runner(URL) as runner:
        plan = runner.board("plan", thread_id="monday", author="ann")
        plan.put("budget", {"usd": 450}, kind="constraint")
        plan.put("route\n", "by train")
        plan.put("budget", {"usd": 500})
        plan.put("gone", 1)
        plan.delete("gone")
        runner.board("rules", author="bob").put("tone", "polite")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[list[str]], str]:
    capsys.readouterr()
    assert main(["board", *arguments]) == code
    found = capsys.readouterr()
    return [line.split("\t") for line in found.out.splitlines()], found.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main(["board", *arguments, "--json"]) == code
    found = capsys.readouterr()
    assert not found.err
    return json.loads(found.out)


def test_the_entries_of_a_board_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = shown(capsys, "show", "plan", "--thread", "monday")

    assert [[*row[:4], row[5]] for row in rows] == [
        ["key", "version", "kind", "author", "value"],
        ["budget", "2", "constraint", "ann", '{"usd": 500}'],
        ["route", "1", "note", "ann", '"by train"'],
    ]
    assert len(shown(capsys, "show", "plan", "--thread", "monday", "--prefix", "b")[0]) == 2
    assert shown(capsys, "show", "rules", "--shared")[0][1][0] == "tone"
    found = as_json(capsys, "show", "plan", "--thread", "monday")
    assert [(one["key"], one["value"], one["version"]) for one in found] == [
        ("budget", {"usd": 500}, 2),
        ("route\n", "by train", 1),
    ]


def test_all_versions_of_an_entry_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = shown(capsys, "history", "plan", "gone", "--thread", "monday")

    assert [(row[1], row[5]) for row in rows[1:]] == [("1", "1"), ("2", "(deleted)")]
    assert [one["value"] for one in as_json(capsys, "history", "plan", "budget", "--thread", "monday")] == [
        {"usd": 450},
        {"usd": 500},
    ]


def test_an_entry_that_was_never_written_is_named_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "history", "plan", "bugdet", "--thread", "monday", code=2) == {
        "error": "BadInput",
        "message": "entry 'bugdet' of board 'plan' was never written; the nearest is 'budget'",
    }
    _, error = shown(capsys, "history", "other", "budget", "--thread", "monday", code=2)
    assert error == "guardgraph: nothing was ever written on a board 'other' of thread 'monday'; there are: 'plan'\n"


def test_a_board_that_is_not_there_is_named_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "show", "other", "--thread", "monday", code=2) == {
        "error": "BadInput",
        "message": "nothing was ever written on a board 'other' of thread 'monday'; there are: 'plan'",
    }
    _, error = shown(capsys, "show", "plan", "--shared", code=2)
    assert "there are: 'rules'" in error
    for options in ([], ["--shared", "--thread", "monday"]):
        assert "name which board it is" in shown(capsys, "show", "plan", *options, code=2)[1]
    assert "there are: none" in shown(capsys, "show", "plan", "--shared", "--tenant", "other", code=2)[1]
