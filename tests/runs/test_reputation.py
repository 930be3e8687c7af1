"""Settled awards feed a reputation in the database, each once, also after a crash; later auctions heed it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent, Bid, Bidder
from guardgraph.cli.entry import main
from guardgraph.graphs import auction
from guardgraph.guards import Budget
from guardgraph.runs import Runner
from guardgraph.state import Plan, Reply, Request, Subtask, Usage
from guardgraph.storage import Reputation
from tests.storage.sql.leased import expire_leases

ROOT = Path(__file__).parents[2]
LOTS = tuple(Subtask(id=f"lot{number}", goal=f"job {number}") for number in range(6))


def bids(cost: float) -> Any:
    def bid(lots: Sequence[Subtask]) -> list[Bid]:
        return [Bid(subtask=lot.id, cost=cost) for lot in lots]

    return bid


def spends(usd: str) -> Any:
    return lambda request: Reply(value="done", usage=Usage(usd=Decimal(usd), calls=1))


def fails(request: Request) -> str:
    raise ConnectionError("out of paper")


def test_what_an_award_has_cost_is_known_in_later_runs_of_other_runners(database_url: str) -> None:
    honest, boaster = Agent("honest", run=spends("3")), Agent("boaster", run=spends("9"))
    graph = auction([Bidder(honest, bid=bids(3)), Bidder(boaster, bid=bids(1))], unit="usd")
    with Runner(database_url) as runner:
        assert runner.run(graph, "print", thread_id="one").outcome.value == "done"  # type: ignore[union-attr]
        known = runner.reputation("boaster")
        assert (known.awards, known.done, known.known_costs, known.mean_overrun) == (1, 1, 1, 9.0)
    with Runner(database_url) as runner:
        state = runner.run(graph, "print", thread_id="two").state
        winners = [one.recipients for one in state["log"] if one.performative == "award"]
        assert winners == [("honest",)]  # 3 x 1 against 1 x (9 + 1) / 2
        assert asyncio.run(runner.areputation("honest")).awards == 1
        assert [one.agent for one in runner.list_reputations()] == ["honest", "boaster"]
        assert runner.reputation("unknown") == Reputation("unknown")


def test_a_failure_counts_against_its_bidder(sqlite_url: str) -> None:
    graph = auction(
        [Bidder(Agent("poor", run=fails), bid=bids(1)), Bidder(Agent("good", run=spends("1")), bid=bids(1.5))]
    )
    with Runner(sqlite_url) as runner:
        runner.run(graph, "print", thread_id="one")

        assert (runner.reputation("poor").reliability, runner.reputation("good").reliability) == (0.5, 1.0)
        state = runner.run(graph, "print", thread_id="two").state
        assert [one.recipients for one in state["log"] if one.performative == "award"] == [("good",)]


def test_what_a_limit_of_the_run_has_stopped_counts_neither_for_nor_against_a_bidder(sqlite_url: str) -> None:
    def overspends(request: Request) -> str:
        from langchain_core.language_models import BaseChatModel

        from guardgraph.models.offline import ScriptedModel

        model: BaseChatModel = ScriptedModel(replies=lambda _: "said", input_tokens=900, output_tokens=100)
        return str([model.invoke("go").content for _ in range(9)])

    graph = auction([Bidder(Agent("a", run=overspends), bid=bids(1))], guards=[Budget(tokens=1_500)])
    with Runner(sqlite_url) as runner:
        run = runner.run(graph, "print", thread_id="one")

        assert run.outcome is not None
        assert (run.outcome.status, run.outcome.stopped_by) == ("degraded", "Budget")
        assert runner.reputation("a").awards == 0


def shop(folder: str) -> Any:
    """Return an auction in which the second of three bidders kills its process when it works for the first time."""

    def work(name: str) -> Agent:
        def run(request: Request) -> str:
            import os
            import signal

            assert request.subtask is not None
            with (Path(folder) / "worked.txt").open("a") as log:
                log.write(f"{name} {request.subtask.id}\n")
            mark = Path(folder) / "killed"
            if name == "b" and not mark.exists():
                mark.touch()
                time.sleep(1)  # what has ended before is stored meanwhile
                os.kill(os.getpid(), signal.SIGKILL)
            return f"{name} did it"

        return Agent(name, run=run)

    bidders = [Bidder(work(name), bid=bids(1), capacity=2) for name in "abc"]
    return auction(bidders, planner=Agent("planner", run=lambda request: Plan(subtasks=LOTS)), concurrency=1)


SCRIPT = """
import sys
from guardgraph.runs import Runner
from tests.runs.test_reputation import shop
folder = sys.argv[1]
with Runner(f"sqlite:///{folder}/runs.db", graphs={"g": lambda: shop(folder)}) as runner:
    runner.run("g", "the task", thread_id="t")
"""
DIES_AFTER_RECORD = """
import os, signal
from guardgraph.storage.sql.reputation import SQLReputation
record = SQLReputation.record
def record_and_die(self, awards):
    record(self, awards)
    os.kill(os.getpid(), signal.SIGKILL)
SQLReputation.record = record_and_die
"""


def killed_and_resumed(script: str, folder: Path) -> Any:
    killed = subprocess.run([sys.executable, "-c", script, folder], cwd=ROOT, check=False, timeout=100)
    assert killed.returncode == -9
    expire_leases(f"sqlite:///{folder}/runs.db")
    with Runner(f"sqlite:///{folder}/runs.db", graphs={"g": lambda: shop(str(folder))}) as runner:
        run = runner.resume("t")
        assert run.outcome is not None
        assert (run.outcome.status, run.outcome.gaps) == ("completed", ())
        assert sum(runner.reputation(name).awards for name in "abc") == len(LOTS)
        assert {runner.reputation(name).awards for name in "abc"} == {2}
        return run


def test_a_process_that_a_bidder_kills_repeats_only_the_lot_at_work(tmp_path: Path) -> None:
    run = killed_and_resumed(SCRIPT, tmp_path)

    worked = Counter((tmp_path / "worked.txt").read_text().split("\n")[:-1])
    assert sorted(worked.values()) == [1, 1, 1, 1, 1, 2]
    assert next(line for line, count in worked.items() if count == 2).startswith("b ")
    assert len([one for one in run.state["log"] if one.performative == "award"]) == 3


def test_an_award_that_is_settled_again_after_a_crash_adds_nothing(tmp_path: Path) -> None:
    (tmp_path / "killed").touch()  # no bidder kills it
    killed_and_resumed(DIES_AFTER_RECORD + SCRIPT, tmp_path)

    worked = (tmp_path / "worked.txt").read_text().split("\n")[:-1]
    assert len(worked) == len(set(worked)) == len(LOTS)


def test_the_command_lists_the_reputation_of_bidders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUARDGRAPH_DB", "sqlite:///runs.db")
    assert main(["reputation", "list"]) == 0
    assert "no awards are stored here" in capsys.readouterr().err
    with Runner("sqlite:///runs.db") as runner:
        runner.run(auction([Bidder(Agent("press", run=spends("3")), bid=bids(2))], unit="usd"), "print", thread_id="t")

    assert main(["reputation", "list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["agent"], found["awards"], found["done"], found["overrun"]) == ("press", 1, 1, 1.25)
    assert main(["reputation", "list"]) == 0
    assert "press" in capsys.readouterr().out


def test_the_command_forgets_the_reputation_of_bidders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUARDGRAPH_DB", "sqlite:///runs.db")
    with Runner("sqlite:///runs.db") as runner:
        for name in ("press", "laser"):
            runner.run(auction([Bidder(Agent(name, run=spends("3")), bid=bids(2))], unit="usd"), "print")

        assert main(["reputation", "forget", "pres", "--yes"]) == 2
        assert "no awards of 'pres' are stored here; the nearest is 'press'" in capsys.readouterr().err
        assert main(["reputation", "forget", "press"]) == 2
        assert "repeat the command with --yes" in capsys.readouterr().err
        assert main(["reputation", "forget", "press", "laser", "--dry-run"]) == 0
        assert "would forget 2 awards of 2 agents" in capsys.readouterr().err
        assert [one.agent for one in runner.list_reputations()] == ["laser", "press"]

        assert main(["reputation", "forget", "press", "--yes", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"dry_run": False, "agents": [{"agent": "press", "awards": 1}]}
        assert [one.agent for one in runner.list_reputations()] == ["laser"]
        assert runner.reputation("press") == Reputation("press")
        assert main(["reputation", "forget", "laser", "-y"]) == 0
        assert "forgot 1 award of 'laser'" in capsys.readouterr().err
