"""`guardgraph effects`: side effects are listed, and what became of one is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.cli.entry import main
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner, effects
from guardgraph.state import Request

URL = "sqlite:///effects.db"


def fail() -> None:
    raise TimeoutError("no answer")


def work(request: Request) -> Any:
    effects.once("mail", lambda: {"id": 7})
    return effects.once("invoice 4711", fail)


@pytest.fixture
def run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run with an effect that is done and one whose end is unknown, in the database that the command uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUARDGRAPH_DB", URL)
    with Runner(URL) as runner:
        effects.once("elsewhere", lambda: 1, saver=runner.saver)
        return runner.run(pipeline([Agent("pay", run=work)]), "t", thread_id="monday").run_id


def written(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main(["effects", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_effects_are_listed_by_state_run_and_thread(run_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = written(capsys, "list")
    assert [(one["key"], one["state"], one["result"]) for one in found] == [
        ("elsewhere", "done", 1),
        ("mail", "done", {"id": 7}),
        ("invoice 4711", "unknown", None),
    ]
    for options in (["--run", run_id], ["--thread", "monday"]):
        assert written(capsys, "list", *options) == found[1:]
    assert written(capsys, "list", "--unknown") == found[2:]
    assert written(capsys, "list", "--limit", "1") == found[:1]
    assert written(capsys, "list", "--thread", "nowhere", code=2)["error"] == "UnknownThread"
    assert main(["effects", "list", "--unknown"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(f"\tunknown\t{run_id}\tinvoice 4711\t")


@pytest.mark.parametrize(
    ("options", "result"), [(["--result", '{"paid": 250}'], {"paid": 250}), (["--not-done"], "made again")]
)
def test_what_became_of_an_effect_is_recorded(
    run_id: str, capsys: pytest.CaptureFixture[str], options: list[str], result: object
) -> None:
    assert main(["effects", "resolve", "invoice 4711", *options]) == 0
    assert capsys.readouterr().err == f"recorded as {'not done' if options == ['--not-done'] else 'done'}\n"

    assert written(capsys, "list", "--unknown") == []
    with Runner(URL) as runner:
        assert effects.once("invoice 4711", lambda: "made again", saver=runner.saver) == result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["invoice 4711"], "name what became of the effect"),
        (["invoice 4711", "--not-done", "--result", "1"], "name what became of the effect"),
        (["invoice 4711", "--result", "paid"], "--result is not JSON"),
        (["invoice", "--not-done"], "no effect 'invoice' is stored here"),
        (["mail", "--not-done"], "effect 'mail' is done"),
    ],
)
def test_an_answer_that_does_not_fit_records_nothing(
    run_id: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert message in written(capsys, "resolve", *arguments, code=2)["message"]
    assert [one["key"] for one in written(capsys, "list", "--unknown")] == ["invoice 4711"]
