"""One process works on a thread; what comes too late is refused, and what was overtaken writes nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import interrupt

from bench.faults.one_writer import ACTIONS, Tally
from bench.faults.one_writer import trial as contend
from bench.faults.paused_writer import LEASE, impatient
from bench.faults.paused_writer import trial as overtake
from bench.faults.team import Effects, build
from bench.faults.worker import Worker
from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Run, Runner
from guardgraph.state import BadInput, Request, StaleWriter, ThreadBusy
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.leases import Claim, acquire
from tests.storage.sql.leased import expire_leases


class Gate:
    """Two agents; the first one waits until it may go on."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.worked: list[str] = []

    def first(self, request: Request) -> str:
        self.worked.append("first")
        self.entered.set()
        assert self.go_on.wait(60)
        return "first"

    def second(self, request: Request) -> str:
        self.worked.append("second")
        return "second"

    def team(self) -> Any:
        return pipeline([Agent("first", run=self.first), Agent("second", run=self.second)])


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def here(database_url: str, gate: Gate) -> Iterator[Runner]:
    with Runner(database_url, graphs={"team": gate.team}, lease_seconds=2) as runner:
        yield runner


@pytest.fixture
def there(database_url: str, gate: Gate) -> Iterator[Runner]:
    """Give a runner with an identity of its own, as another process has it."""
    with Runner(database_url, graphs={"team": gate.team}, lease_seconds=2) as runner:
        yield runner


def working(runner: Runner, gate: Gate, pool: ThreadPoolExecutor) -> Any:
    run = pool.submit(runner.run, "team", "t", thread_id="thread")
    assert gate.entered.wait(60)
    return run


def take_over(runner: Runner) -> None:
    """Take the lease of a thread as if the one before had run out."""
    expire_leases(runner.saver.engine)
    with write_transaction(runner.saver.engine) as connection:
        acquire(connection, Claim("thread", "r", "another", 60, ""))


def test_a_thread_that_is_worked_on_elsewhere_is_refused_at_once(here: Runner, there: Runner, gate: Gate) -> None:
    with ThreadPoolExecutor() as pool:
        run = working(here, gate, pool)
        time.sleep(2.5)  # longer than the lease: it is renewed
        began = time.monotonic()
        for call in (
            lambda: there.run("team", "t", thread_id="thread"),
            lambda: there.resume("thread"),
            lambda: there.update("thread", context=[]),
            lambda: there.retry("thread"),
            lambda: asyncio.run(there.aresume("thread")),
            lambda: list(there.stream("team", "t", thread_id="thread")),
            lambda: here.resume("thread"),
        ):
            with pytest.raises(ThreadBusy, match="thread 'thread' is worked on by"):
                call()
        assert time.monotonic() - began < 7
        assert there.status("thread").status == here.status("thread").status == "running"
        gate.go_on.set()
        assert run.result().status == "completed"
    assert gate.worked == ["first", "second"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_runner_that_waits_goes_on_when_the_thread_is_free(
    database_url: str, here: Runner, gate: Gate, is_async: bool
) -> None:
    with Runner(database_url, graphs={"team": gate.team}, if_busy="wait") as waits, ThreadPoolExecutor() as pool:
        run = working(here, gate, pool)
        call = (lambda: asyncio.run(waits.aresume("thread"))) if is_async else (lambda: waits.resume("thread"))
        late = pool.submit(call)
        time.sleep(0.2)
        assert not late.done()
        gate.go_on.set()
        assert (run.result().status, late.result().status) == ("completed", "completed")

    with Runner(database_url, if_busy="wait", wait_seconds=0.1) as waits:
        take_over(here)
        with pytest.raises(ThreadBusy):
            waits.retry("thread")


def test_a_run_in_another_process_is_drained_and_goes_on(here: Runner, there: Runner, gate: Gate) -> None:
    with ThreadPoolExecutor() as pool:
        run = working(here, gate, pool)
        assert there.drain(thread_id="thread")
        time.sleep(1.5)
        gate.go_on.set()

        assert run.result().status == there.status("thread").status == "stopped"
    assert not there.drain(thread_id="thread")
    assert there.resume("thread").status == "completed"
    assert gate.worked == ["first", "second"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_in_another_process_is_cancelled(here: Runner, there: Runner, gate: Gate, is_async: bool) -> None:
    with ThreadPoolExecutor() as pool:
        run = working(here, gate, pool)
        cancel = (lambda: asyncio.run(there.acancel("thread"))) if is_async else (lambda: there.cancel("thread"))
        cancelled = pool.submit(cancel)
        time.sleep(1.5)
        gate.go_on.set()

        assert cancelled.result().status == there.status("thread").status == "cancelled"
        assert run.result().status in ("stopped", "cancelled")
    assert gate.worked == ["first"]


@pytest.mark.parametrize("is_async", [False, True])
def test_what_was_overtaken_writes_nothing_and_raises(here: Runner, there: Runner, gate: Gate, is_async: bool) -> None:
    def begin() -> Run:
        if is_async:
            return asyncio.run(here.arun("team", "t", thread_id="thread"))
        return here.run("team", "t", thread_id="thread")

    with ThreadPoolExecutor() as pool:
        run = pool.submit(begin)
        assert gate.entered.wait(60)
        take_over(there)
        before = len(there.history("thread"))
        gate.go_on.set()
        with pytest.raises(StaleWriter, match=r"lease \d+ of thread 'thread' has ended: another process works on it"):
            run.result()

    assert len(there.history("thread")) == before
    assert gate.worked == ["first"]
    assert there.status("thread").status == "running"
    expire_leases(there.saver.engine)
    assert there.status("thread").status == "crashed"
    assert there.resume("thread").status == "completed"


def test_a_run_whose_lease_was_lost_while_it_worked_is_drained(here: Runner, there: Runner, gate: Gate) -> None:
    with ThreadPoolExecutor() as pool:
        working(here, gate, pool)
        [attempt] = here._attempts.active  # pyright: ignore[reportPrivateUsage]
        take_over(there)
        until = time.monotonic() + 10
        while not attempt.control.drain_requested and time.monotonic() < until:
            time.sleep(0.02)
        assert attempt.control.drain_reason == "lease lost"
        gate.go_on.set()


def test_answers_that_a_killed_process_was_given_are_given_again(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "effects"
    asked: list[str] = []

    def asks(request: Request) -> str:
        answer = f"{interrupt('one?')} {interrupt('two?')}"
        asked.append(answer)
        return answer

    with Runner(database_url, graphs={"steps": build(log, 60)}) as runner:
        with Runner(database_url, graphs={"team": lambda: pipeline([Agent("asks", run=asks)])}) as other:
            waiting = other.run("team", "t", thread_id="two").waiting[0].id
            attempt = other._attempts.resume("two", answers={waiting: "yes"})  # pyright: ignore[reportPrivateUsage]
            assert not isinstance(attempt, Run)
            other._attempts.release(attempt)  # pyright: ignore[reportPrivateUsage] - what a kill leaves

            again = other.resume("two")
            assert (again.status, [wait.value for wait in again.waiting]) == ("waiting", ["two?"])
            assert other.resume("two").status == "waiting", "an answer that was given is not the answer of the next"
            done = other.resume("two", answers={again.waiting[0].id: "no"})
        assert (done.status, asked) == ("completed", ["yes no"])
        assert runner.status("two").status == "completed"


def test_a_task_with_messages_is_begun_again_with_all_of_them(here: Runner, gate: Gate) -> None:
    gate.go_on.set()
    given = {"messages": [("human", "who are you?"), ("ai", "a team"), ("human", "do it")]}
    attempt = here._attempts.begin("team", given, thread_id="thread")  # pyright: ignore[reportPrivateUsage]
    here._attempts.release(attempt)  # pyright: ignore[reportPrivateUsage] - what a kill leaves
    assert here.status("thread").status == "stopped"

    run = here.resume("thread")

    assert run.status == "completed"
    assert [message.text for message in run.state["messages"]][:3] == ["who are you?", "a team", "do it"]


def test_of_several_processes_one_works_on_a_thread(database_url: str, tmp_path: Path) -> None:
    effects, tally = Effects(tmp_path / "effects"), Tally()
    with ExitStack() as stack:
        runner = stack.enter_context(Runner(database_url, graphs={"steps": build(effects.file)}))
        runner.list_runs(1)
        workers = [stack.enter_context(Worker(database_url, effects.file)) for _ in range(6)]
        for action in ACTIONS:
            contend(action, runner, effects, workers, tally)

    assert (tally.doubles, tally.lost, tally.forks, tally.faults) == (0, 0, 0, [])
    assert tally.results["ThreadBusy"] > 0


def test_a_process_that_was_paused_writes_nothing(database_url: str, tmp_path: Path) -> None:
    effects, found = Effects(tmp_path / "effects"), Counter[str]()
    with (
        Runner(database_url, graphs={"steps": build(effects.file)}) as runner,
        Worker(database_url, effects.file, lease_seconds=LEASE) as worker,
    ):
        impatient(runner).list_runs(1)
        for _ in range(10):
            found[overtake(runner, effects, worker, 0.05)] += 1
            if found["StaleWriter"] == 2:
                break

    assert found["StaleWriter"] == 2
    assert set(found) <= {"StaleWriter", "paused in a transaction, or done"}


@pytest.mark.parametrize("moment", [0.01, 0.2])
def test_a_run_whose_process_was_killed_goes_on_once_its_lease_has_run_out(
    database_url: str, tmp_path: Path, moment: float
) -> None:
    effects = Effects(tmp_path / "effects")
    with Runner(database_url, graphs={"steps": build(effects.file)}) as runner:
        with Worker(database_url, effects.file, lease_seconds=2) as worker:
            worker.begin("run", "t", {"steps": 12})
            while not effects.read():
                time.sleep(0.002)
            time.sleep(moment)
            worker.kill()
        assert runner.status("t").status == "running"
        with pytest.raises(ThreadBusy):
            runner.resume("t")
        time.sleep(2.1)
        assert runner.status("t").status == "crashed"
        assert runner.resume("t").status == "completed"

    again = Counter(effects.read())
    assert set(again) == {f"t/s{number}" for number in range(12)}
    assert sum(again.values()) <= 13, "only the agent in flight works again"


def test_options_that_do_not_fit_are_refused(sqlite_url: str) -> None:
    with pytest.raises(BadInput, match="`if_busy` is one of 'refuse', 'wait'; got 'queue'"):
        Runner(sqlite_url, if_busy="queue")  # pyright: ignore[reportArgumentType]
    with pytest.raises(BadInput, match="`lease_seconds` must be a number of seconds above 0"):
        Runner(sqlite_url, lease_seconds=0)
