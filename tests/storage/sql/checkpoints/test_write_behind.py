"""What a saver holds back is what it would have stored, in the same order, and is never stored in part."""

from __future__ import annotations

import asyncio
import operator
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt
from sqlalchemy import event
from typing_extensions import TypedDict

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.runs import Runner
from guardgraph.state import BadInput, Request, StorageBusy, StorageError, Unserializable
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.engine import write_transaction
from tests.house.sources import ROOT
from tests.storage.sql.conftest import database_url, mariadb_url, postgres_url, sqlite_url
from tests.storage.sql.stored import config_of, ids_in, store

__all__ = ("database_url", "mariadb_url", "postgres_url", "sqlite_url")

LONG = 3000.0
"""A window that does not end in a test."""
STEPS = 30


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    large: str
    number: int


def graph() -> StateGraph[Any, Any, Any, Any]:
    """Steps one after the other, each with two tasks at once; one of them has a large value."""
    nodes: dict[str, Any] = {
        "step": lambda state: {"number": state["number"] + 1, "large": "x" * 999 + str(state["number"])},
        "task": lambda given: {"log": [given["name"]]},
        "join": lambda state: {},
    }
    made = StateGraph(State)
    for name, node in nodes.items():
        made.add_node(name, node)
    made.add_edge(START, "step")
    sends: Any = lambda state: [Send("task", {"name": f"{state['number']}{one}"}) for one in "ab"]  # noqa: E731
    made.add_conditional_edges("step", sends, ["task"])
    made.add_edge("task", "join")
    goes: Any = lambda state: "step" if state["number"] < STEPS else END  # noqa: E731
    made.add_conditional_edges("join", goes, ["step", END])
    return made


GIVEN: Any = {"log": [], "large": "", "number": 0}


def config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}, "recursion_limit": 1000}


@pytest.fixture
def saver(database_url: str) -> Iterator[SQLSaver]:
    with SQLSaver.from_url(database_url, write_behind=LONG) as made:
        yield made


@pytest.mark.parametrize("is_async", [False, True])
def test_a_thread_takes_a_few_commits_and_is_what_it_is_without(
    saver: SQLSaver, database_url: str, is_async: bool
) -> None:
    def run(by: SQLSaver, thread: str) -> list[Any]:
        app = graph().compile(checkpointer=by)
        if is_async:
            asyncio.run(app.ainvoke(GIVEN, config(thread), durability="sync"))
        else:
            app.invoke(GIVEN, config(thread), durability="sync")
        history = list(app.get_state_history(config(thread)))
        return [(one.values, one.next, one.metadata, sorted(task.name for task in one.tasks)) for one in history]

    commits: list[Any] = []
    run(saver, "warm")
    event.listen(saver.engine, "commit", commits.append)
    held = run(saver, "held")
    assert len(commits) <= 3
    with SQLSaver.from_url(database_url) as other:
        assert run(other, "stored") == held
        for thread in ("held", "warm"):
            assert other.verify(thread) == []
            assert list(other.list(config_of(thread))) == list(saver.list(config_of(thread)))


def test_what_is_read_sees_what_is_held(saver: SQLSaver) -> None:
    first = store(saver, "t", {"x": ["1"]})
    second = store(saver, "t", {"x": ["1", "2"]}, parent=first, version=2)
    saver.put_writes(second, [("x", ["3"])], "task")

    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert (found.checkpoint["channel_values"], found.pending_writes) == ({"x": ["1", "2"]}, [("task", "x", ["3"])])
    third = store(saver, "t", {"x": ["1", "2", "3"]}, parent=second, version=3)
    assert len(ids_in(saver, None)) == 3
    store(saver, "t", {"x": ["1"]}, parent=third, version=4)
    saver.copy_thread("t", "copy")
    assert len(ids_in(saver, config_of("copy"))) == 4
    store(saver, "t", {"x": ["1"]}, parent=third, version=4)
    saver.delete_thread("t")
    assert ids_in(saver, config_of("t")) == []


def test_it_is_stored_after_its_time(database_url: str) -> None:
    with SQLSaver.from_url(database_url, write_behind=0.2) as saver, SQLSaver.from_url(database_url) as other:
        first = store(saver, "t", {"x": 1})
        store(saver, "t", {"x": 2}, parent=first, version=2)
        began = time.monotonic()
        assert len(ids_in(other, config_of("t"))) == 1
        while len(ids_in(other, config_of("t"))) == 1:
            assert time.monotonic() - began < 30
            time.sleep(0.02)


@pytest.mark.parametrize("ends", ["", "import os; os._exit(0)"])
def test_a_process_that_ends_by_itself_stores_it_and_one_that_dies_loses_it(database_url: str, ends: str) -> None:
    code = f"""
from tests.storage.sql.checkpoints.test_write_behind import GIVEN, LONG, SQLSaver, config, graph
saver = SQLSaver.from_url({database_url!r}, write_behind=LONG)
graph().compile(checkpointer=saver).invoke(GIVEN, config("t"))
{ends}
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=100)

    with SQLSaver.from_url(database_url) as saver:
        app = graph().compile(checkpointer=saver)
        number = app.get_state(config("t")).values.get("number", 0)
        assert (number == STEPS) == (not ends)
        assert saver.verify("t") == []
        found = app.invoke(None if number else GIVEN, config("t"))
        assert sorted(found["log"]) == sorted(f"{number}{one}" for number in range(1, STEPS + 1) for one in "ab")


def test_a_forked_process_leaves_what_is_held_to_its_parent(sqlite_url: str) -> None:
    code = f"""
import os, sys
from tests.storage.sql.checkpoints.test_write_behind import LONG, SQLSaver, config_of, store
saver = SQLSaver.from_url({sqlite_url!r}, write_behind=LONG)
store(saver, "t", {{"x": 2}}, parent=store(saver, "t", {{"x": 1}}), version=2)
if child := os.fork():
    os.waitpid(child, 0)
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    with SQLSaver.from_url(sqlite_url) as other:
        assert len(ids_in(other, config_of("t"))) == 2


def test_it_is_held_on_while_the_database_is_locked(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url, write_behind=0.05, busy_timeout=0.05) as saver:
        config = store(saver, "t", {"x": 0})
        with SQLSaver.from_url(sqlite_url) as other:
            with write_transaction(other.engine):
                for number in range(1, 4):
                    config = store(saver, "t", {"x": number}, parent=config, version=number + 1)
                with pytest.raises(StorageBusy):
                    saver.flush()
                time.sleep(0.3)
                with pytest.raises(StorageBusy):
                    store(saver, "t", {"x": 4}, parent=config, version=5)
            config = store(saver, "t", {"x": 4}, parent=config, version=5)
            saver.flush("t")
            assert len(ids_in(other, config_of("t"))) == 5


def test_what_is_not_stored_is_refused_at_once_and_harms_nothing(saver: SQLSaver) -> None:
    first = store(saver, "t", {"x": 1})
    with pytest.raises(Unserializable):
        store(saver, "t", {"x": object()}, parent=first, version=2)
    store(saver, "t", {"x": 2}, parent=first, version=2)
    assert len(ids_in(saver, config_of("t"))) == 2


def test_what_comes_after_a_failure_builds_on_nothing_that_was_dropped(
    saver: SQLSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ZeroDivisionError

    large = ["1" * 999, "2" * 999, "3" * 999]
    first = store(saver, "t", {"x": large[:1]})
    second = store(saver, "t", {"x": large[:2]}, parent=first, version=2)
    with monkeypatch.context() as patch:
        patch.setattr("guardgraph.storage.sql.checkpoints.recorder.store_checkpoint", refuse)
        with pytest.raises(ZeroDivisionError):
            saver.flush()
    with pytest.raises(StorageError, match="goes on from what is stored"):
        store(saver, "t", {"x": large}, parent=second, version=3)
    with pytest.raises(StorageError, match="goes on from what is stored"):
        saver.put_writes(second, [("x", 1)], "task")
    store(saver, "t", {"x": large}, parent=first, version=2)

    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.checkpoint["channel_values"] == {"x": large}
    assert len(ids_in(saver, config_of("t"))) == 2
    assert saver.verify("t") == []


def elements(saver: SQLSaver, at: Any) -> list[Any]:
    found = saver.get_tuple(at)
    assert found is not None
    return found.checkpoint["channel_values"]["x"]


def test_what_goes_on_from_an_older_checkpoint_is_stored_as_it_was_put(saver: SQLSaver) -> None:
    first = store(saver, "t", {"x": ["1" * 999]})
    store(saver, "t", {"x": ["1" * 999, "2" * 999]}, parent=first, version=2)
    grown: list[Any] = [*elements(saver, first), {"n": 1}]
    fork = store(saver, "t", {"x": grown}, parent=first, version=3)
    grown[-1]["n"] = 2
    after = store(saver.with_types(), "t", {"x": [*grown, "4" * 999]}, parent=fork, version=4)
    grown[-1]["n"] = 3
    saver.flush()

    assert elements(saver, fork) == ["1" * 999, {"n": 1}]
    assert elements(saver, after) == ["1" * 999, {"n": 2}, "4" * 999]
    assert saver.verify("t") == []


def test_what_builds_on_a_list_that_another_saver_goes_on_with_is_packed_again(
    saver: SQLSaver, database_url: str
) -> None:
    lists = {namespace: [namespace + "1" * 999] for namespace in ("", "sub")}
    first = {at: store(saver, "t", {"x": x}, namespace=at) for at, x in lists.items()}
    with SQLSaver.from_url(database_url) as other:
        for at, config in first.items():
            store(other, "t", {"x": [*elements(other, config), "other" * 99]}, namespace=at, parent=config, version=2)
    expected: list[tuple[Any, list[Any]]] = []
    for number, by in enumerate((saver, saver.with_types(), saver, saver), 2):
        for at, config in first.items():
            lists[at] = [*lists[at], f"{number}" * 999]
            first[at] = store(by, "t", {"x": lists[at]}, parent=config, version=number)
            expected.append((first[at], lists[at]))
        if number > 3:
            saver.flush()

    for config, x in expected:
        assert elements(saver, config) == x
    assert saver.verify("t") == []


def test_it_is_stored_after_a_fault_has_passed_without_another_call(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url, write_behind=0.05, busy_timeout=0.05) as saver:
        first = store(saver, "t", {"x": 0})
        with SQLSaver.from_url(sqlite_url) as other:
            with write_transaction(other.engine):
                store(saver, "t", {"x": 1}, parent=first, version=2)
                time.sleep(0.3)
            until = time.monotonic() + 30
            while len(ids_in(other, config_of("t"))) == 1:
                assert time.monotonic() < until
                time.sleep(0.05)


def test_a_slow_database_does_not_make_threads(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url, write_behind=0.001, busy_timeout=30) as saver:
        config = store(saver, "t", {"x": 0})
        before = threading.active_count()
        with SQLSaver.from_url(sqlite_url) as other, write_transaction(other.engine):
            for number in range(2, 52):
                config = store(saver, "t", {"x": number}, parent=config, version=number)
                time.sleep(0.004)
            assert threading.active_count() <= before + 2


def test_an_interrupted_flush_keeps_what_is_not_stored(saver: SQLSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def interrupted(*given: Any, **options: Any) -> Generator[Any]:
        with write_transaction(*given, **options) as connection:
            yield connection
            raise KeyboardInterrupt

    first = {thread: store(saver, thread, {"x": ["1" * 999]}) for thread in "abc"}
    for thread, config in first.items():
        store(saver, thread, {"x": ["1" * 999, "2" * 999]}, parent=config, version=2)
    with monkeypatch.context() as patch:
        patch.setattr("guardgraph.storage.sql.group_commit.write_transaction", interrupted)
        with pytest.raises(KeyboardInterrupt):
            saver.flush()
    saver.flush()

    assert [len(ids_in(saver, config_of(thread))) for thread in "abc"] == [2, 2, 2]
    assert [saver.verify(thread) for thread in "abc"] == [[], [], []]


def test_a_change_in_place_is_no_change_of_what_is_held(saver: SQLSaver) -> None:
    value: dict[str, Any] = {"a": [1]}
    first = store(saver, "t", {"x": 0})
    store(saver, "t", {"x": value}, parent=first, version=2)
    value["a"].append(2)
    found = saver.get_tuple(config_of("t"))
    assert found is not None
    assert found.checkpoint["channel_values"]["x"] == {"a": [1]}


def test_a_runner_stores_all_when_a_run_ends_or_waits(database_url: str) -> None:
    stages = [Agent("first", run=lambda _: "done"), Agent("asks", run=lambda _: interrupt("may I?"))]
    with Runner(database_url, graphs={"g": lambda: pipeline(stages)}, write_behind=LONG) as runner:
        run = runner.run("g", "t", thread_id="t")
        with Runner(database_url, graphs={"g": lambda: pipeline(stages)}) as other:
            assert other.status("t").waiting == run.waiting != ()
            answers = {one.id: "yes" for one in run.waiting}
            assert runner.resume("t", answers=answers).status == other.status("t").status == "completed"
            assert other.events("t") == runner.events("t")


def test_a_part_of_a_stream_is_stored_before_it_is_yielded(database_url: str) -> None:
    stages = [Agent(name, run=lambda _: "done") for name in "abc"]
    stored: list[int] = []
    with Runner(database_url, write_behind=LONG) as runner, Runner(database_url) as other:
        for part in runner.stream(pipeline(stages), "t", thread_id="t"):
            if isinstance(part, dict) and {*part["data"]} & {"a", "b", "c"}:
                last = next(other.saver.list(config_of("t"), limit=1))
                pending = [value for _, channel, value in last.pending_writes or () if channel == "results"]
                stored.append(len(last.checkpoint["channel_values"].get("results", ())) + len(pending))
    assert stored == [1, 2, 3]


def test_a_failed_agent_of_a_runner_loses_nothing_that_is_held(sqlite_url: str) -> None:
    calls: list[str] = []

    def note(request: Request) -> str:
        calls.append(request.path[-1])
        return "done"

    def stop(_: Request) -> str:
        raise KeyboardInterrupt

    stages = [Agent("a", run=note), Agent("b", run=note), Agent("c", run=stop)]
    with Runner(sqlite_url, write_behind=LONG) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(pipeline(stages), "t", thread_id="t")
    stages[-1] = Agent("c", run=note)
    with Runner(sqlite_url, graphs={"unregistered": pipeline(stages)}) as runner:
        assert runner.resume("t").status == "completed"
    assert calls == ["a", "b", "c"]


def test_what_an_abandoned_agent_puts_does_not_reach_the_next_run(sqlite_url: str) -> None:
    may_go_on, goes_on = threading.Event(), threading.Event()

    def late(state: State) -> dict[str, Any]:
        may_go_on.wait(60)
        return {"number": 1}

    nested = StateGraph(State)
    for name in ("late", "after"):
        nested.add_node(name, late)
    nested.add_edge(START, "late")
    nested.add_edge("late", "after")
    inner = nested.compile()

    def hang(_: Request) -> str:
        try:
            return str(inner.invoke(GIVEN))
        finally:
            goes_on.set()

    def wake(_: Request) -> str:
        may_go_on.set()
        goes_on.wait(60)
        return "done"

    with Runner(sqlite_url, write_behind=LONG) as runner:
        assert runner.run(pipeline([Agent("hangs", run=hang, timeout=0.3)]), "t", thread_id="t").status == "failed"
        stages = [Agent("first", run=lambda _: "done"), Agent("wakes", run=wake)]
        assert runner.run(pipeline(stages), "t", thread_id="t").status == "completed"
        assert runner.saver.verify("t") == []


@pytest.mark.parametrize("window", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_window_is_a_number_of_seconds(sqlite_url: str, window: Any) -> None:
    with pytest.raises(BadInput, match="`write_behind` is a number of seconds above 0"):
        SQLSaver.from_url(sqlite_url, write_behind=window)
