"""Evaluating a graph: everything is scored, stored as it finishes, and never run twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from guardgraph.evals import Case, Progress, Suite, aevaluate, evaluate, load_report
from guardgraph.evals.metrics import FactsFound, StatusAsExpected
from guardgraph.state import BadInput, Outcome, Task
from guardgraph.storage.sql.engine import engine_of
from tests.evals.answering import saying, saying_graph, suite_of

ROOT = Path(__file__).parents[2]

KILLED = """
import sys, time
from pathlib import Path
from guardgraph.evals import evaluate
from tests.evals.answering import saying, suite_of

url, log, patience = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])

def say(task):
    with log.open("a") as file:
        file.write(task.id + "\\n")
    if task.id >= "e":
        time.sleep(patience)
    return saying(task)

report = evaluate(suite_of(*"abcdefgh"), say, store=url, run_name="nightly", concurrency=2)
print(sum(row.passed for row in report.rows), len(report.missing))
"""


def numbers_of(report: Any) -> list[tuple[str, int, int]]:
    return [(tally.metric, tally.passed, tally.total) for tally in report.summaries]


@pytest.mark.parametrize("store", [None, "sqlite://"])
@pytest.mark.parametrize("checkpointed", [False, True])
async def test_a_graph_is_scored_the_same_in_sync_and_async(store: str | None, checkpointed: bool) -> None:
    suite = suite_of("a", "boom", "c", "d")
    graph = saying_graph(checkpointed=checkpointed)

    report = await asyncio.to_thread(evaluate, suite, graph, store=store, run_name="one")
    twin = await aevaluate(suite, graph, store=store, run_name="one")

    assert numbers_of(report) == [("outcome_status", 3, 4), ("facts_found", 3, 4)]
    assert [(row.case, row.outcome, row.error, row.scores) for row in report.rows] == [
        (row.case, row.outcome, row.error, row.scores) for row in twin.rows
    ]
    assert report.rows[1].error == "RuntimeError: it went off"
    assert [score.passed for score in report.rows[1].scores] == [False, False]


def test_a_finished_run_is_read_and_not_run_again(database_url: str) -> None:
    calls: list[str] = []

    def say(task: Task) -> Outcome:
        calls.append(task.id)
        return saying(task)

    first = evaluate(suite_of("a", "b"), say, store=database_url, run_name="one")
    second = evaluate(suite_of("a", "b"), say, store=database_url, run_name="one")

    assert first == second == load_report(database_url, "one")
    assert sorted(calls) == ["a", "b"]


def test_progress_is_reported_after_a_case_is_stored(sqlite_url: str) -> None:
    reported: list[tuple[int, int, int]] = []

    def listen(progress: Progress) -> None:
        stored = load_report(sqlite_url, "one").rows
        assert progress.row in stored
        reported.append((progress.done, progress.total, len(stored)))

    evaluate(suite_of("a", "b", "c"), saying, store=sqlite_url, run_name="one", progress=listen)

    assert reported == [(1, 3, 1), (2, 3, 2), (3, 3, 3)]


def test_a_killed_eval_continues_with_what_is_left(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "calls.txt"
    command = [sys.executable, "-c", KILLED, database_url, str(log)]
    pipe = subprocess.PIPE

    with subprocess.Popen([*command, "600"], cwd=ROOT, stdout=pipe, stderr=pipe) as victim:
        wait_for_lines(log, 6)
        wait_for_rows(database_url, 4)
        os.kill(victim.pid, signal.SIGKILL)
    after_kill = log.read_text().split()
    done = subprocess.run([*command, "0"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert done.stderr == ""
    assert done.stdout.split() == ["8", "0"]
    assert sorted(after_kill) == list("abcdef")
    assert sorted(log.read_text().split()[6:]) == list("efgh")


def wait_for_lines(log: Path, count: int) -> None:
    until = time.monotonic() + 30
    while not log.exists() or len(log.read_text().split()) < count:
        assert time.monotonic() < until, "the eval does not get on"
        time.sleep(0.02)


def wait_for_rows(url: str, count: int) -> None:
    until = time.monotonic() + 30
    while len(load_report(url, "nightly").rows) < count:
        assert time.monotonic() < until, "the eval does not store its rows"
        time.sleep(0.02)


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_cases_run_at_a_time_than_allowed(limit: int) -> None:
    lock, now, peaks = threading.Lock(), [0], [0]

    def say(task: Task) -> Outcome:
        with lock:
            now[0] += 1
            peaks.append(now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return saying(task)

    async def asay(task: Task) -> Outcome:
        now[0] += 1
        peaks.append(now[0])
        await asyncio.sleep(0.02)
        now[0] -= 1
        return saying(task)

    await asyncio.to_thread(evaluate, suite_of(*"abcdef"), say, concurrency=limit)
    assert max(peaks) == limit
    peaks.clear()
    await aevaluate(suite_of(*"abcdef"), asay, concurrency=limit)
    assert max(peaks) == limit


def test_what_progress_raises_ends_the_eval_and_keeps_what_is_stored(sqlite_url: str) -> None:
    calls: list[str] = []

    def say(task: Task) -> Outcome:
        calls.append(task.id)
        return saying(task)

    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(suite_of(*"abc"), say, store=sqlite_url, run_name="one", progress=stop, concurrency=1)
    assert len(load_report(sqlite_url, "one").rows) == 1

    assert evaluate(suite_of(*"abc"), say, store=sqlite_url, run_name="one").passed
    assert calls.count("a") == 1


async def test_leaving_early_cancels_the_other_cases() -> None:
    cancelled: list[str] = []

    async def say(task: Task) -> Outcome:
        if task.id == "a":
            return saying(task)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(task.id)
            raise
        return saying(task)

    def stop(progress: Progress) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        await aevaluate(suite_of("a", "b"), say, progress=stop)

    assert cancelled == ["b"]


def test_an_outcome_that_cannot_be_stored_is_a_failed_case_with_its_scores(sqlite_url: str) -> None:
    value: Any = "a"
    for _ in range(254):
        value = [value]

    report = evaluate(suite_of("a"), lambda task: Outcome(status="completed", value=value), store=sqlite_url)

    assert report.rows[0].outcome is None
    assert "the outcome cannot be stored: " in (report.rows[0].error or "")
    assert len(report.rows[0].scores) == 2
    assert not report.passed


def test_a_run_without_a_name_gets_one_of_its_own() -> None:
    engine = engine_of("sqlite://")

    names = {evaluate(suite_of("a"), saying, store=engine).run_name for _ in range(2)}

    assert len(names) == 2
    assert all(name.startswith("letters-20") for name in names)
    engine.dispose()


def test_the_callers_context_and_config_reach_the_graph() -> None:
    seen: list[Any] = []

    class Spy:
        def invoke(self, input: Any, config: Any = None) -> Any:
            seen.append((input["task"].goal, config["tags"], config["metadata"]["eval_case"]))
            return {"outcome": {"status": "completed"}}

        async def ainvoke(self, input: Any, config: Any = None) -> Any:
            return self.invoke(input, config)

    evaluate(suite_of("a"), Spy(), config={"tags": ["mine"]})

    assert seen == [("say a", ["mine"], "a")]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"concurrency": 0}, "`concurrency` must be at least 1, got 0"),
        ({"run_name": ""}, "`run_name` must have 1 to 200 characters and no control characters, got ''"),
        ({"run_name": "a\0"}, r"no control characters, got 'a\\x00'"),
        ({"run_name": "\ud800"}, r"no control characters, got '\\ud800'"),
        ({"run_name": "a" * 201}, "`run_name` must have 1 to 200 characters"),
        ({"metrics": []}, "`metrics` is empty; an eval needs at least one"),
        ({"metrics": [len]}, "is no metric: it needs a `name` and must be callable"),
        (
            {"metrics": [StatusAsExpected(), FactsFound(name="outcome_status")]},
            "two metrics are called 'outcome_status'",
        ),
        ({"store": "no address"}, "the database address is not a URL"),
    ],
)
async def test_an_argument_that_does_not_fit_is_refused_before_any_work(
    arguments: dict[str, Any], complaint: str
) -> None:
    tasks: list[Task] = []

    with pytest.raises(BadInput, match=complaint):
        evaluate(suite_of("a"), tasks.append, **arguments)
    with pytest.raises(BadInput, match=complaint):
        await aevaluate(suite_of("a"), tasks.append, **arguments)

    assert tasks == []


def test_a_changed_suite_needs_another_run_name(sqlite_url: str) -> None:
    evaluate(suite_of("a"), saying, store=sqlite_url, run_name="one")

    with pytest.raises(BadInput, match="the run 'one' scored other cases: the suite has changed since"):
        evaluate(suite_of("a", "b"), saying, store=sqlite_url, run_name="one")


def test_a_suite_made_anew_with_tasks_of_random_ids_is_continued(sqlite_url: str) -> None:
    def suite() -> Suite:
        return Suite(name="s", cases=(Case(id="a", task=Task(goal="say a")),))

    assert evaluate(suite(), saying, store=sqlite_url, run_name="one") == evaluate(
        suite(), saying, store=sqlite_url, run_name="one"
    )


TRACED = """
import asyncio
from guardgraph.evals import aevaluate, evaluate
from tests.evals.answering import saying_graph, suite_of

print(evaluate(suite_of("a"), saying_graph()).passed, asyncio.run(aevaluate(suite_of("a"), saying_graph())).passed)
"""


def test_nothing_is_sent_even_if_the_environment_enables_tracing() -> None:
    received: list[str] = []

    class Sink(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            received.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_GET = do_POST = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        settings = {"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "none"}
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        done = subprocess.run(
            [sys.executable, "-c", TRACED],
            cwd=ROOT,
            env={**os.environ, **settings, "LANGSMITH_ENDPOINT": endpoint},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        server.shutdown()
        thread.join()

    assert (done.stdout.split(), done.stderr) == (["True", "True"], "")
    assert received == []
