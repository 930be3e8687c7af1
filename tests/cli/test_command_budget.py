"""`guardgraph budget`: what is spent together, and what may be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.cli.entry import main
from guardgraph.graphs import pipeline
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.state import Request

URL = "sqlite:///budgets.db"
NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a database in which tenant acme has spent 100 tokens on one thread."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUARDGRAPH_DB", URL)
    model = ScriptedModel(replies=lambda messages: "said", input_tokens=90, output_tokens=10)

    def work(request: Request) -> str:
        return model.invoke("go", max_tokens=10).text

    guards = [Budget(tokens=900, per="tenant", window="month"), Budget(usd=1, calls=0, per="thread")][:1]
    with Runner(URL, tenant="acme", clock=lambda: NOW) as runner:
        runner.run(pipeline([Agent("worker", run=work)], guards=guards), "t", thread_id="one")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[list[list[str]], str]:
    capsys.readouterr()
    assert main(["budget", *arguments]) == code
    found = capsys.readouterr()
    return [line.split("\t") for line in found.out.splitlines()], found.err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main(["budget", *arguments, "--json"]) == 0
    found = capsys.readouterr()
    assert not found.err
    return json.loads(found.out)


def test_show_prints_what_is_spent_and_when_it_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = shown(capsys, "show", "--tenant", "acme")

    month = (NOW.replace(day=28, hour=0, minute=0, second=0, microsecond=0)).strftime("%Y-%m")
    assert rows[0] == ["budget", "spent", "reserved", "declared", "set", "resets"]
    assert rows[1][:5] == [f"tenant acme's month {month}", "100 tokens, 1 calls", "-", "900 tokens", "-"]
    assert rows[1][5].endswith("-01 00:00")


def test_set_replaces_what_is_declared_until_it_is_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = shown(capsys, "set", "--tokens", "2000", "--usd", "5.00", "--window", "month", "--tenant", "acme")
    assert rows[1][3:5] == ["900 tokens", "2,000 tokens, $5"]

    found = as_json(capsys, "show", "--tenant", "acme")
    assert found[0]["cap"] == {"tokens": 2000, "usd": "5.00"}
    assert (found[0]["declared"], found[0]["set"]) == ({"tokens": 900}, {"tokens": 2000, "usd": "5.00"})
    assert found[0]["spent"] == {"tokens": 100, "usd": "0", "calls": 1}
    assert found[0]["window"] == "month"
    assert as_json(capsys, "set", "--clear", "--window", "month", "--tenant", "acme")["budget"]["set"] is None


def test_a_thread_without_a_budget_can_be_capped(capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = shown(capsys, "set", "--calls", "0", "--thread", "one", "--tenant", "acme")

    assert rows[1] == ["thread one", "-", "-", "-", "0 calls", ""]
    assert [one["label"] for one in as_json(capsys, "show", "--thread", "one", "--tenant", "acme")] == ["thread one"]
    assert shown(capsys, "set", "--clear", "--thread", "one", "--tenant", "acme")[1] == (
        "no cap is set, and nothing is counted there\n"
    )


def test_a_budget_of_zero_lets_nothing_be_spent(capsys: pytest.CaptureFixture[str]) -> None:
    rows, _ = shown(capsys, "set", "--usd", "0", "--thread", "one", "--tenant", "acme")
    assert rows[1][4] == "$0"

    with Runner(URL, tenant="acme") as runner:
        paid = Agent("worker", run=lambda request: "done", cost="0.01")
        run = runner.run(pipeline([paid], guards=[]), "t", thread_id="one")

    assert run.outcome is not None
    assert run.usage.usd == 0
    assert "no usd left of thread one" in run.outcome.gaps[0].reason


def test_other_tenants_see_none(capsys: pytest.CaptureFixture[str]) -> None:
    rows, note = shown(capsys, "show", "--tenant", "zeta")

    assert rows == []
    assert note == "no budgets of a tenant, a thread or a window are used here of tenant 'zeta'\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--window", "day"], "nothing to set: give --usd, --tokens or --calls, or --clear"),
        (["--usd", "-1"], "--usd must be from 0 to 1,000,000,000 US dollars"),
        (["--usd", "NaN"], "--usd must be from 0 to"),
        (["--usd", "lots"], "--usd must be an amount of US dollars"),
        (["--tokens", "-1"], "tokens"),
        (["--tokens", "5", "--window", "week"], "--window must be one of minute, hour, day, month, or a time"),
        (["--tokens", "5", "--window", "0m"], "`window` must be one of"),
        (["--tokens", "5", "--clear"], "--clear takes all caps back"),
        (["--tokens", "5", "--thread", " "], "--thread is empty"),
    ],
)
def test_what_cannot_be_set_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    _, note = shown(capsys, "set", *arguments, code=2)

    assert message in note
