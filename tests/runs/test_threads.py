"""Copies and forks of threads: their runs go on independently of the runs that they come from."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget
from guardgraph.runs import Run, Runner
from guardgraph.state import Reply, Request, RunUnfinished, ThreadBusy, UnknownThread, Usage
from guardgraph.storage import Retention
from tests.runs import team

KEY = bytes(range(32))


def charged(request: Request) -> Reply:
    team.note(request)
    return Reply(value=request.goal, usage=Usage(input_tokens=100, calls=1))


def nested() -> Any:
    """Return a team of teams that ask a human, each with parts that do not."""
    low = team.asking().compile()
    return supervisor(
        planner=Agent("planner", run=team.plan),
        workers=[Agent("low", run=low)],
        synthesizer=Agent("writer", run=team.write),
        name="top",
    )


def metered() -> Any:
    return supervisor(
        planner=Agent("planner", run=team.plan), workers=[Agent("worker", run=charged)], guards=[Budget(tokens=1_000)]
    )


def ask_after(request: Request) -> Any:
    return f"human said {interrupt('may I?')}" if request.goal.endswith(".1") else charged(request)


def metered_tiers() -> Any:
    """Return a team of teams in which a part of each team has been paid for when the others ask."""
    low = supervisor(planner=Agent("planner", run=team.plan), workers=[Agent("worker", run=ask_after)])
    return supervisor(planner=Agent("planner", run=team.plan), workers=[Agent("low", run=low.compile())])


GRAPHS = {**team.GRAPHS, "nested": nested, "metered": metered, "metered tiers": metered_tiers}


@pytest.fixture
def worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file in which agents note that they work."""
    monkeypatch.setenv("WORKED", str(tmp_path / "worked.txt"))
    return tmp_path / "worked.txt"


@pytest.fixture
def runner(database_url: str, worked: Path) -> Iterator[Runner]:
    with Runner(database_url, graphs=GRAPHS) as opened:
        yield opened


def answered(runner: Runner, thread_id: str, answer: str) -> Run:
    waiting = runner.status(thread_id).waiting
    return runner.resume(thread_id, answers={one.id: answer for one in waiting})


def value_of(run: Run) -> str:
    assert run.outcome is not None
    return str(run.outcome.value)


def lines(worked: Path) -> int:
    return len(worked.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("way", ["fork", "copy"])
def test_a_run_that_waits_is_answered_in_each_of_both_on_its_own(runner: Runner, worked: Path, way: str) -> None:
    run = runner.run("nested", "t", thread_id="origin")
    done = lines(worked)
    assert run.status == "waiting"

    other = {"fork": lambda: runner.threads.fork("origin"), "copy": lambda: runner.threads.copy("origin")}[way]()

    found = runner.status(other)
    assert (found.status, found.waiting, found.run_id != run.run_id) == ("waiting", run.waiting, True)
    with pytest.raises(RunUnfinished):
        runner.run("nested", "t", thread_id=other)
    first = answered(runner, other, "no")
    assert runner.status("origin").status == "waiting"
    second = answered(runner, "origin", "yes")
    assert (first.status, second.status) == ("completed", "completed")
    assert "human said no" in value_of(first)
    assert "yes" not in value_of(first)
    assert "human said yes" in value_of(second)
    assert lines(worked) == done, "what was finished before works in neither of them again"
    assert [run.thread_id for run, _ in runner.list_runs()] == [other, "origin"]
    runner.threads.delete("origin")
    assert runner.status(other).outcome == first.outcome
    assert runner.run("nested", "u", thread_id=other).status == "waiting"


def test_a_fork_of_an_earlier_checkpoint_makes_what_comes_next_again(runner: Runner, worked: Path) -> None:
    run = runner.run("metered", "t", thread_id="origin")
    done, before = lines(worked), runner.history("origin")
    dispatched = next(one for one in before if one["channels"].count("subtasks"))

    fork = runner.threads.fork("origin", checkpoint_id=dispatched["id"], new_thread="fork")

    stopped = runner.status(fork)
    assert (stopped.status, stopped.outcome, stopped.results) == ("stopped", None, ())
    again = runner.resume(fork)
    assert (again.status, again.usage.tokens) == ("completed", 300)
    assert value_of(again) == value_of(run)
    assert lines(worked) == done + 3
    assert runner.history("origin") == before
    assert runner.status("origin").usage.tokens == 300


def test_a_fork_is_charged_what_its_results_have_cost(runner: Runner) -> None:
    runner.run("metered", "t", thread_id="origin")
    reviewed = next(one for one in runner.history("origin") if "results" in one["channels"])
    runner.run("metered tiers", "t", thread_id="tiers")
    waiting = runner.threads.fork("tiers")

    fork = runner.threads.fork("origin", checkpoint_id=reviewed["id"])

    assert runner.status(fork).usage.tokens == runner.resume(fork).usage.tokens == 300
    assert runner.status("tiers").usage.tokens == runner.status(waiting).usage.tokens == 600
    assert answered(runner, waiting, "yes").usage.tokens == 600


def test_a_fork_of_a_run_that_has_ended_has_ended_too(runner: Runner) -> None:
    run = runner.run("flat", "t", thread_id="origin")
    newest = runner.history("origin", 1)[0]["id"]

    for fork in (runner.threads.fork("origin"), runner.threads.fork("origin", checkpoint_id=newest)):
        assert (runner.status(fork).outcome, runner.status(fork).status) == (run.outcome, "completed")
        assert runner.resume(fork).outcome == run.outcome
    assert len({one.row.run_id for one in runner.list_runs()}) == 3


def test_a_fork_before_the_last_run_has_the_runs_up_to_there(runner: Runner) -> None:
    runner.run("flat", "first", thread_id="origin")
    newest = runner.history("origin", 1)[0]["id"]
    runner.run("flat", "second", thread_id="origin")

    fork = runner.threads.fork("origin", checkpoint_id=newest)
    copy = runner.threads.copy("origin")

    goals = {name: [row.task.goal for row, _ in runner.list_runs() if row.thread_id == name] for name in (fork, copy)}
    assert goals == {fork: ["first"], copy: ["second", "first"]}
    assert runner.status(fork).status == "completed"


def test_a_run_that_has_died_before_its_first_checkpoint_begins_in_the_fork(runner: Runner, worked: Path) -> None:
    team.accepted_and_killed(runner, "flat", "t", "origin")

    fork = runner.threads.fork("origin")

    assert runner.resume(fork).status == "completed"
    assert lines(worked) == 3
    assert runner.status("origin").status == "crashed"


def test_the_runs_in_a_database_that_is_encrypted_and_compressed_are_forked(sqlite_url: str, worked: Path) -> None:
    with Runner(sqlite_url, graphs=GRAPHS, key=KEY, compress_above=100) as runner:
        run = runner.run("nested", "t", thread_id="origin")
        fork = runner.threads.fork("origin")
        assert run.run_id not in str(dict(runner.status(fork).state))
        assert "human said no" in value_of(answered(runner, fork, "no"))
        assert runner.saver.verify(fork) == []
        assert answered(runner, "origin", "yes").status == "completed"


def test_pruning_keeps_what_a_run_that_waits_or_has_ended_is_resumed_from(runner: Runner) -> None:
    run = runner.run("nested", "t", thread_id="t")
    with pytest.raises(RunUnfinished):
        runner.threads.prune("t", Retention(keep=1))
    ended = answered(runner, "t", "yes")

    removed = runner.threads.prune("t", Retention(keep=1))

    assert (removed.kept, len(runner.history("t"))) == (1, 1)
    assert runner.status("t").outcome == ended.outcome
    assert runner.resume("t").run_id == run.run_id
    assert runner.run("flat", "more", thread_id="t").status == "completed"


def test_a_thread_on_which_a_run_works_is_not_deleted(runner: Runner) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def wait(request: Request) -> str:
        entered.set()
        assert go_on.wait(60)
        return "done"

    slow = supervisor(planner=Agent("planner", run=team.plan), workers=[Agent("worker", run=wait)])
    with ThreadPoolExecutor() as pool:
        run = pool.submit(runner.run, slow, "t", thread_id="t")
        assert entered.wait(60)
        for call in (lambda: runner.threads.delete("t"), lambda: runner.saver.delete_thread("t")):
            with pytest.raises(ThreadBusy, match="thread 't' is worked on by"):
                call()
        go_on.set()
        assert run.result().status == "completed"
    assert runner.threads.delete("t").runs == 1
    with pytest.raises(UnknownThread):
        runner.status("t")
