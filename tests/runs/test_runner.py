from __future__ import annotations

import asyncio
import fnmatch
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Depth
from guardgraph.models.offline import ScriptedModel
from guardgraph.runs import Run, Runner
from guardgraph.runs.working import work
from guardgraph.state import BadGraph, BadInput, RunEvent, ThreadBusy, UnknownGraph, UnknownThread
from tests.runs import team
from tests.storage.sql.leased import expire_leases


@pytest.fixture
def worked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "worked.txt"
    file.touch()
    monkeypatch.setenv("WORKED", str(file))
    return file


@pytest.fixture
def runner(database_url: str) -> Iterator[Runner]:
    with Runner(database_url, graphs=team.GRAPHS) as made:
        yield made


def counts(file: Path) -> Counter[str]:
    return Counter(line.split()[1] for line in file.read_text(encoding="utf-8").splitlines())


VALUE = "done t.0, done t.1, done t.2"


def test_a_run_has_its_outcome_and_is_stored(runner: Runner, worked: Path) -> None:
    run = runner.run("flat", "t")

    assert run.status == "completed"
    assert run.outcome is not None
    assert run.outcome.value == VALUE
    assert runner.status(run.thread_id) == run
    assert [one.row.run_id for one in runner.list_runs()] == [run.run_id]


async def test_an_async_run_has_the_same_outcome(runner: Runner, worked: Path) -> None:
    run = await runner.arun("flat", "t")

    assert run.outcome is not None
    assert run.outcome.value == VALUE
    assert await runner.astatus(run.thread_id) == run
    assert (await runner.aresume(run.thread_id)).outcome == run.outcome


def test_a_second_task_on_the_same_thread_gets_its_own_answer(runner: Runner, worked: Path) -> None:
    first = runner.run("flat", "t")
    second = runner.run("flat", "other", thread_id=first.thread_id)

    assert first.run_id != second.run_id
    assert second.outcome is not None
    assert second.outcome.value == "done other.0, done other.1, done other.2"
    assert len(second.results) == 3


def test_streamed_parts_end_with_the_run(runner: Runner, worked: Path) -> None:
    *parts, run = list(runner.stream("flat", "t"))

    assert isinstance(run, Run)
    assert run.status == "completed"
    nodes = [name for part in parts for name in part["data"]]
    assert nodes[:4] == ["guard_admission", "planner", "guard_dispatch", "worker"]
    assert nodes[-1] == "guard_exit"


async def test_async_streams_do_the_same(runner: Runner, worked: Path) -> None:
    parts: list[Any] = [part async for part in runner.astream("flat", "t")]

    assert isinstance(parts[-1], Run)
    assert parts[-1].status == "completed"


def test_events_are_emitted_as_they_happen(database_url: str, worked: Path) -> None:
    events: list[RunEvent] = []
    with Runner(database_url, graphs=team.GRAPHS, on_event=events.append) as runner:
        run = runner.run("flat", "t")

    kinds = Counter(event.kind for event in events)
    assert kinds["agent_started"] == kinds["agent_finished"] == 6  # the planner twice, three workers, the writer
    assert kinds["run_finished"] == 1
    assert {event.run_id for event in events} == {run.run_id}


def test_a_run_waits_for_a_human_and_goes_on_with_the_answer(runner: Runner, worked: Path) -> None:
    run = runner.run("asking", "t")

    assert run.status == "waiting"
    assert run.outcome is None
    assert [wait.value for wait in run.waiting] == [{"about": "t.1"}]
    assert runner.status(run.thread_id).waiting == run.waiting
    assert runner.resume(run.thread_id).status == "waiting"
    with pytest.raises(BadInput, match="nothing waits for nobody; open questions: "):
        runner.resume(run.thread_id, answers={"nobody": 1})

    done = runner.resume(run.thread_id, answers={run.waiting[0].id: "yes"})

    assert done.outcome is not None
    assert done.outcome.value == "done t.0, done t.2, human said yes"
    assert counts(worked) == {"t.0": 1, "t.2": 1}


@pytest.mark.parametrize(
    ("graph", "slow", "in_flight"),
    [("flat", "t.1", 1), ("tiers", "t.1.2.0", 1), ("second", "t.1.2", 1), ("wide", "t.?.1?", 30)],
)
def test_after_a_kill_only_the_workers_in_flight_run_again(
    database_url: str, worked: Path, graph: str, slow: str, in_flight: int
) -> None:
    call = f"from tests.runs import team; team.main({database_url!r}, {graph!r}, 'thread')"
    with subprocess.Popen([sys.executable, "-c", call], env={**os.environ, "SLOW": slow}) as process:
        before = _until_quiet(process, worked, slow, in_flight)
        process.send_signal(signal.SIGKILL)

    with Runner(database_url, graphs=team.GRAPHS) as runner:
        assert runner.status("thread").status == "running"
        with pytest.raises(ThreadBusy):
            runner.resume("thread")
        expire_leases(database_url)
        assert runner.status("thread").status == "crashed"
        run = runner.resume("thread")

    assert run.status == "completed"
    again = {goal: count for goal, count in counts(worked).items() if count > 1}
    assert again == dict.fromkeys(fnmatch.filter(before, slow), 2)
    assert set(before.values()) == {1}


def _until_quiet(process: subprocess.Popen[bytes], file: Path, slow: str, in_flight: int) -> Counter[str]:
    """Wait until the slow workers work and everybody else is at rest."""
    last, since = counts(file), time.monotonic()
    while time.monotonic() - since < 1.0 or len(fnmatch.filter(last, slow)) < in_flight:
        assert process.poll() is None, f"ended with {len(fnmatch.filter(last, slow))} of {in_flight} in flight"
        time.sleep(0.1)
        now = counts(file)
        if now != last:
            last, since = now, time.monotonic()
    return last


def test_a_run_that_never_reached_its_first_node_is_begun_by_resume(runner: Runner, worked: Path) -> None:
    begun = team.accepted_and_killed(runner, "flat", "t", "thread")
    assert runner.status("thread").status == "crashed"

    run = runner.resume("thread")

    assert run.run_id == begun.row.run_id
    assert run.status == "completed"


def test_so_is_one_on_a_thread_that_has_served_another_task(runner: Runner, worked: Path) -> None:
    runner.run("asking", "t", thread_id="thread")  # it waits
    runner.cancel("thread")
    begun = team.accepted_and_killed(runner, "flat", "other", "thread")
    status = runner.status("thread")
    assert (status.run_id, status.status, status.waiting, status.results) == (begun.row.run_id, "crashed", (), ())

    run = runner.resume("thread")

    assert run.outcome is not None
    assert run.outcome.value == "done other.0, done other.1, done other.2"


def test_a_stopped_run_goes_on_where_it_was(database_url: str, worked: Path) -> None:
    def stop(event: RunEvent) -> None:
        if event.kind == "agent_started" and event.path[-1] == "worker":
            runner.drain()

    with Runner(database_url, graphs=team.GRAPHS, on_event=stop) as runner:
        run = runner.run("flat", "t")
    assert run.status == "stopped"
    assert run.outcome is None

    with Runner(database_url, graphs=team.GRAPHS) as other:
        done = other.resume(run.thread_id)

    assert done.status == "completed"
    assert counts(worked) == {"t.0": 1, "t.1": 1, "t.2": 1}


def test_a_run_that_is_stopped_before_its_first_node_has_not_the_outcome_of_the_run_before(
    runner: Runner, worked: Path
) -> None:
    runner.run("flat", "t", thread_id="thread")
    attempt = runner._attempts.begin("flat", "other", thread_id="thread")  # pyright: ignore[reportPrivateUsage] - the first moment
    attempt.control.request_drain("stop")
    [stopped] = work(runner._attempts, attempt)  # pyright: ignore[reportPrivateUsage] - what `run` does with it

    assert stopped.status == "stopped"
    assert stopped.outcome is None
    assert runner.status("thread") == stopped
    done = runner.resume("thread")
    assert done.run_id == stopped.run_id
    assert done.outcome is not None
    assert done.outcome.value == "done other.0, done other.1, done other.2"


async def test_a_stream_that_is_left_can_be_resumed(runner: Runner, worked: Path) -> None:
    parts = runner.astream("flat", "t", thread_id="thread")
    assert isinstance(parts, AsyncGenerator)
    assert "guard_admission" in (await anext(parts))["data"]
    await parts.aclose()

    assert (await runner.astatus("thread")).status == "stopped"
    assert (await runner.aresume("thread")).status == "completed"


def test_what_was_spent_counts_over_resumes(database_url: str, worked: Path) -> None:
    model = ScriptedModel(replies=lambda messages: "said", input_tokens=30, output_tokens=10)

    def build() -> Any:
        return supervisor(
            planner=Agent("planner", run=team.plan),
            workers=[Agent("worker", model=model)],
            synthesizer=Agent("writer", run=team.ask),
            guards=[Budget(tokens=10_000), Depth(), Convergence()],
        )

    with Runner(database_url, graphs={"spending": build}) as runner:
        run = runner.run("spending", "t.1")
        assert run.status == "waiting"
        assert run.usage.tokens == 120
    with Runner(database_url, graphs={"spending": build}) as runner:
        done = runner.resume(run.thread_id, answers={run.waiting[0].id: "ok"})

    assert done.status == "completed"
    assert done.usage.tokens == 120
    assert done.usage.calls == 3


def test_unknown_threads_and_graphs_are_named(runner: Runner, database_url: str, worked: Path) -> None:
    with pytest.raises(UnknownThread, match="no thread 'nowhere' in "):
        runner.resume("nowhere")
    with pytest.raises(
        UnknownGraph, match=r"registered as 'none' \(registered: 'asking', 'flat', 'second', 'tiers', 'wide'\)"
    ):
        runner.run("none", "t")
    run = runner.run("asking", "t")
    with Runner(database_url) as other, pytest.raises(UnknownGraph, match=r"Runner\(url, graphs=\{'asking': build\}\)"):
        other.resume(run.thread_id, answers={run.waiting[0].id: "yes"})


def test_bad_input_stores_nothing(runner: Runner) -> None:
    with pytest.raises(BadInput, match="the task does not fit: goal: Field required; gaol: Extra inputs"):
        runner.run("flat", {"gaol": "t"})
    with pytest.raises(BadInput, match="graph 'flat' cannot be built with"):
        runner.run("flat", "t", arguments={"nothing": 1})
    with pytest.raises(
        BadGraph, match=r"is compiled; .* an agent of `create_agent`, goes into `guarded\(graph, guards\)`"
    ):
        runner.run(team.flat().compile(), "t")  # pyright: ignore[reportArgumentType] - that is the mistake
    assert runner.list_runs() == []


def test_arguments_build_the_graph_again(runner: Runner, worked: Path) -> None:
    run = runner.run("tiers", "t", arguments={"attempts": 2})

    assert run.status == "completed"
    assert runner.list_runs()[0].row.arguments == {"attempts": 2}


def test_the_summary_is_what_a_person_wants_to_read(runner: Runner, worked: Path) -> None:
    run = runner.run("flat", "t", thread_id="mine")

    first, second, third = str(run).splitlines()
    assert first == "completed · flat · thread mine"
    assert second.startswith("no model calls, ")
    assert second.endswith("3 of 3 attempts gave a result")
    assert third == f"value: {VALUE}"


def test_the_history_of_a_thread_is_listed_newest_first(runner: Runner, worked: Path) -> None:
    run = runner.run("flat", "t")

    history = runner.history(run.thread_id)

    assert {frozenset(one) for one in history} == {
        frozenset({"id", "at", "step", "source", "channels", "version", "migrated_to"})
    }
    assert [one["step"] for one in history] == list(range(len(history) - 2, -2, -1))
    assert [one["source"] for one in history] == ["loop"] * (len(history) - 1) + ["input"]
    assert [one["at"] for one in history] == sorted((one["at"] for one in history), reverse=True)
    assert len({one["id"] for one in history}) == len(history)
    assert set(history[0]["channels"]) == {
        *("context", "messages", "outcome", "seen"),
        *("passed", "requests", "visits"),
    }
    assert "branch:to:guard_exit" in history[1]["channels"]
    assert all(one["channels"] == sorted(one["channels"]) for one in history)
    assert runner.history(run.thread_id, limit=2) == history[:2]
    with pytest.raises(UnknownThread):
        runner.history("nowhere")


def test_runs_at_once_do_not_meet(runner: Runner, worked: Path) -> None:
    async def all_at_once() -> list[Run]:
        return list(await asyncio.gather(*(runner.arun("flat", f"t{n}") for n in range(5))))

    runs = asyncio.run(all_at_once())

    assert [run.outcome and run.outcome.value for run in runs] == [
        f"done t{n}.0, done t{n}.1, done t{n}.2" for n in range(5)
    ]


async def test_a_stream_begins_nothing_before_its_first_part_is_requested(runner: Runner, worked: Path) -> None:
    parts, later = runner.stream("flat", "t"), runner.astream("flat", "t")
    assert runner.list_runs() == []

    next(parts)
    assert len(runner.list_runs()) == 1
    await anext(aiter(later))
    assert len(runner.list_runs()) == 2
    parts.close()  # type: ignore[attr-defined]
    await later.aclose()  # type: ignore[attr-defined]
