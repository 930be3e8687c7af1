"""Costs are learned over runs and processes, shown, and used to decide what can be paid for."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.cli.entry import main
from guardgraph.graphs import pipeline, supervisor
from guardgraph.guards import Budget
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner
from guardgraph.runtime.budget.learned_costs import LearnedCosts
from guardgraph.state import Request, Usage
from guardgraph.storage.sql.value_table import shared_values
from guardgraph.storage.sql.values import SQLValues
from tests.graphs.teams import plan_of, planner, speaker
from tests.storage.sql.conftest import mariadb_url, postgres_url, sqlite_url

__all__ = ("mariadb_url", "postgres_url", "sqlite_url")


def team(count: int, *, tokens: int | None = None) -> Any:
    plan = plan_of(*(f"s{number}" for number in range(count)))
    guards = [Budget(tokens=tokens, reserve=0)] if tokens else []
    return supervisor(planner=planner(plan), workers=[speaker("talker", read=80, written=20)], guards=guards, name="t")


@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_run_has_learned_selects_in_the_next_one(sqlite_url: str, is_async: bool) -> None:
    def run(graph: Any) -> Any:
        return asyncio.run(runner.arun(graph, "x")) if is_async else runner.run(graph, "x")

    with Runner(sqlite_url) as runner:
        assert run(team(4)).status == "completed"
        [cost] = runner.costs()
        assert (cost.agent, cost.model, cost.runs, cost.tokens, cost.spread, cost.calls) == (
            "t/talker",
            "offline:scripted",
            4,
            100,
            0,
            1,
        )
    with Runner(sqlite_url) as runner:
        outcome = run(team(4, tokens=250)).outcome

    assert outcome is not None
    assert {gap.guard for gap in outcome.gaps} == {"Budget"}
    assert len(outcome.gaps) == 2, "two of four can be paid for, and that is known before the first begins"
    assert "50 tokens left, 100 needed" in outcome.gaps[0].reason
    assert outcome.usage.tokens == 200


def test_functions_and_failures_teach_nothing(sqlite_url: str) -> None:
    def ill(request: Request) -> str:
        ScriptedModel(replies=["x"]).invoke("x")
        raise ValueError("ill")

    with Runner(sqlite_url) as runner:
        runner.run(pipeline([Agent("a", run=lambda _: "done"), Agent("b", run=ill)]), "x")

        assert runner.costs() == []


PROCESS = """
import sys
from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Runner

model = ScriptedModel(replies=lambda _: "said", input_tokens=int(sys.argv[2]), output_tokens=1)
with Runner(sys.argv[1]) as runner:
    for _ in range(5):
        runner.run(pipeline([Agent("a", model=model)], name="shared"), "x")
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("database", ["sqlite", "postgres", "mariadb"])
def test_processes_learn_together(
    database: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    url = request.getfixturevalue(f"{database}_url")
    with Runner(url) as runner:
        assert runner.costs() == []
        for process in [subprocess.Popen([sys.executable, "-c", PROCESS, url, size]) for size in ("99", "299")]:
            assert process.wait(100) == 0
        [cost] = runner.costs()

    assert (cost.agent, cost.runs, cost.tokens) == ("shared/a", 10, 200)
    assert cost.spread == pytest.approx(105.409, abs=0.01)
    assert main(["costs", "--db", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["runs"] == 10
    assert main(["costs", "--db", url]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t") == [
        "shared/a",
        "offline:scripted",
        "10",
        "200",
        "105",
        "0.000000",
        "0.000000",
        "1.0",
    ]


def test_the_command_has_nothing_to_show_at_first(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costs", "--db", sqlite_url]) == 0
    assert (
        capsys.readouterr().err == "no costs are known here of runs without a tenant; `--tenant ID` shows another's\n"
    )


@pytest.mark.parametrize(
    "data", [b"\xff", b"[1]", b'{"tokens": "many"}', b'{"tokens": [0, 0, 0], "calls": 1, "usd": null}']
)
def test_what_is_damaged_is_left_out_named_and_learned_anew(
    data: bytes, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []
    with Runner(sqlite_url, on_event=events.append) as runner:
        runner.run(team(2), "x")
        other = LearnedCosts(SQLValues(runner.saver.engine, tenant=""))
        other.note("t/other", ["offline:scripted"], Usage(input_tokens=7, calls=1))
        other.store()
        with runner.saver.engine.begin() as connection:
            talker = shared_values.c.name == b"t/talker\noffline:scripted"
            connection.execute(shared_values.update().where(talker).values(data=data))

        assert [cost.agent for cost in runner.costs()] == ["t/other"]
        assert runner.run(team(3), "x").status == "completed"

        started = [event.data for event in events if event.kind == "run_started"]
        assert [data.get("damaged_costs") for data in started] == [None, ["t/talker offline:scripted"]]
        assert "it is left out, and learned anew" in caplog.text
        assert [(cost.agent, cost.runs) for cost in runner.costs()] == [("t/other", 1), ("t/talker", 3)]
