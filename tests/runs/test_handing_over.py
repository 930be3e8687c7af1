"""What is handed over is committed: each part is looked up over a second connection before the next is requested."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from threading import Event
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from sqlalchemy import event

from guardgraph.runs import handing_over
from guardgraph.runs.acknowledgement import HeldParts
from guardgraph.runs.handing_over import ahand_over, hand_over
from guardgraph.state import StorageUnavailable, Unserializable
from guardgraph.storage.sql.checkpoints.commits import COMMITS, CommitLog
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.migrate import migrate
from tests.runs.streamed_graphs import GRAPHS, Log, chained, compiled

_MODES = ("values", "updates", "tasks", "checkpoints", "debug", "messages", "custom")
_RUNS_AGAIN = ("unstored", "again")


def slow_saver(url: str, delay: float = 0.02) -> SQLSaver:
    """Return a saver that commits each transaction a little later."""
    saver = SQLSaver.from_url(url)
    migrate(saver.engine)
    event.listen(saver.engine, "commit", lambda connection: time.sleep(delay))
    return saver


class Oracle:
    """Looks up what a part tells, by a saver of its own."""

    def __init__(self, url: str, name: str) -> None:
        self.saver, self.name = SQLSaver.from_url(url), name
        self.checked: list[tuple[str, tuple[str, ...]]] = []
        self.early: list[Any] = []
        self.ahead: list[int] = []

    def check(self, part: Any) -> None:
        self.checked.append((part["type"], part["ns"]))
        if "provisional" not in part and not self._is_stored(part):
            self.early.append(part)

    def _is_stored(self, part: Any) -> bool:
        kind, data, namespace = part["type"], part["data"], part["ns"]
        if kind == "debug":
            kind, data = ("checkpoints" if data["type"] == "checkpoint" else "tasks"), data["payload"]
        if namespace and (self.name == "unstored" or namespace[1:2] == ("1",)):
            return self._has_written((), task=namespace[0].partition(":")[2])
        if kind == "checkpoints":
            ids = {one.checkpoint["id"] for one in self._checkpoints(namespace)}
            return data["config"]["configurable"]["checkpoint_id"] in ids
        if kind == "tasks":
            return "result" not in data or self._has_written(namespace, task=data["id"])
        asked = data.get("__interrupt__") if kind == "updates" else part.get("interrupts")
        if asked:
            return self._has_written(namespace, channel="__interrupt__", value=asked)
        if kind == "updates":
            [update] = (value for key, value in data.items() if key != "__metadata__")
            return self._has_written(namespace, channel="log", value=update["log"])
        return self._has_state(namespace, data["log"])

    def _checkpoints(self, namespace: tuple[str, ...]) -> list[Any]:
        return list(self.saver.list({"configurable": {"thread_id": "t", "checkpoint_ns": "|".join(namespace)}}))

    def _has_written(self, namespace: tuple[str, ...], **wanted: Any) -> bool:
        written = (write for one in self._checkpoints(namespace) for write in one.pending_writes or ())
        found = ({"task": task, "channel": channel, "value": value} for task, channel, value in written)
        return any(all(_equal(one.get(key), value) for key, value in wanted.items()) for one in found)

    def _has_state(self, namespace: tuple[str, ...], log: list[str]) -> bool:
        checkpoints = self._checkpoints(namespace)
        if any(one.checkpoint["channel_values"].get("log", []) == log for one in checkpoints):
            return True
        newest = checkpoints[0] if self.name == "asking" and checkpoints else None  # the state that it waits in
        pending = (
            []
            if newest is None
            else [item for _, channel, value in newest.pending_writes if channel == "log" for item in value]
        )
        return newest is not None and sorted(newest.checkpoint["channel_values"].get("log", []) + pending) == sorted(
            log
        )


def _equal(one: Any, other: Any) -> bool:
    return list(one) == list(other) if isinstance(other, (list, tuple)) else one == other


def _stream(graph: Any, given: Any, name: str, *, holds: bool) -> Iterator[Any]:
    log = CommitLog()
    parts = graph.stream(**_call(given, name, log))
    return hand_over(parts, HeldParts(_MODES), log) if holds else parts


def _call(given: Any, name: str, log: CommitLog) -> dict[str, Any]:
    config = {"configurable": {"thread_id": "t", COMMITS: log}}
    durability = "async" if name == "unstored" else "sync"
    return {
        "input": given,
        "config": config,
        "stream_mode": list(_MODES),
        "subgraphs": True,
        "version": "v2",
        "durability": durability,
    }


def _run(graph: Any, given: Any, oracle: Oracle, *, holds: bool) -> None:
    with suppress(ValueError):
        for part in _stream(graph, given, oracle.name, holds=holds):
            oracle.check(part)


def _arun(graph: Any, given: Any, oracle: Oracle, *, holds: bool) -> None:
    async def run() -> None:
        log = CommitLog()
        parts = graph.astream(**_call(given, oracle.name, log))
        with suppress(ValueError):
            async for part in ahand_over(parts, HeldParts(_MODES), log) if holds else parts:
                oracle.check(part)

    asyncio.run(run())


def _checked(url: str, name: str, run: Callable[..., None], *, holds: bool = True) -> Oracle:
    oracle = Oracle(url, name)
    with slow_saver(url) as saver, oracle.saver:
        graph = compiled(name, saver)
        run(graph, {"log": ["given"]}, oracle, holds=holds)
        if name == "asking":
            run(graph, Command(resume="so"), oracle, holds=holds)
        if name == "cached":
            run(graph, {"log": ["more"]}, oracle, holds=holds)
    return oracle


@pytest.mark.parametrize("run", [_run, _arun])
@pytest.mark.parametrize("name", GRAPHS)
def test_every_part_that_is_handed_over_is_committed(database_url: str, name: str, run: Callable[..., None]) -> None:
    oracle = _checked(database_url, name, run)

    assert oracle.early == []
    assert {kind for kind, _ in oracle.checked} >= {"values", "updates", "tasks", "checkpoints", "debug"}


@pytest.mark.parametrize("run", [_run, _arun])
@pytest.mark.parametrize("name", GRAPHS)
def test_langgraph_itself_hands_the_same_parts_over_before_they_are(
    sqlite_url: str, name: str, run: Callable[..., None]
) -> None:
    assert _checked(sqlite_url, name, run, holds=False).early


@pytest.mark.parametrize("name", GRAPHS)
def test_no_part_is_lost(sqlite_url: str, name: str) -> None:
    plain, held = (_checked(f"{sqlite_url}{holds}", name, _run, holds=holds) for holds in (False, True))

    assert Counter(kind for kind, _ in held.checked) == Counter(kind for kind, _ in plain.checked)


def test_what_is_done_is_told_while_other_nodes_are_at_work(sqlite_url: str) -> None:
    told, slow_may_end = [], Event()

    def slow(state: Any) -> dict[str, Any]:
        assert slow_may_end.wait(20)
        return {"log": ["slow"]}

    graph = StateGraph(Log).add_node("slow", slow).add_edge(START, "slow")
    graph.add_node("team", chained("one", "two").compile()).add_edge(START, "team")
    with slow_saver(sqlite_url) as saver:
        for part in _stream(graph.compile(checkpointer=saver), {"log": []}, "", holds=True):
            told += part["data"] if part["type"] == "updates" else []
            if "team" in told:
                slow_may_end.set()

    assert told == ["one", "two", "team", "slow"]


def test_a_row_that_is_late_does_not_stop_the_stream(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handing_over, "_PATIENCE", 0.001)

    assert _checked(sqlite_url, "fan_out", _run).early == []


@pytest.mark.parametrize("run", [_run, _arun])
def test_a_row_that_is_never_confirmed_is_a_fault_of_storage(
    sqlite_url: str, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_over, "_PATIENCE", 0.001)
    monkeypatch.setattr(handing_over, "_END_PATIENCE", 0.01)
    monkeypatch.setattr(CommitLog, "note", lambda *_: None)

    with pytest.raises(StorageUnavailable, match="has not confirmed all of it"):
        _checked(sqlite_url, "chain", run)


@pytest.mark.parametrize("run", [_run, _arun])
def test_a_fault_of_a_write_in_the_background_is_raised_at_once(sqlite_url: str, run: Callable[..., None]) -> None:
    class Failing(SQLSaver):
        def put_writes(self, config: Any, writes: Any, task_id: str, *rest: Any, **more: Any) -> None:
            return super().put_writes(config, [("log", object())] if ran == ["plan", "one"] else writes, task_id, *rest)

    ran: list[str] = []

    def step(name: str) -> Any:
        def node(state: Any) -> dict[str, Any]:
            ran.append(name)
            return {"log": [name]}

        return node

    graph = StateGraph(Log)
    for before, name in pairwise((START, "plan", "one", "two", "three", "four")):
        graph.add_node(name, step(name)).add_edge(before, name)
    oracle = Oracle(sqlite_url, "")
    with Failing.from_url(sqlite_url) as saver, oracle.saver, pytest.raises(Unserializable):
        run(graph.compile(checkpointer=saver), {"log": []}, oracle, holds=True)

    assert ran == ["plan", "one"]
    assert oracle.early == []


@pytest.mark.parametrize("run", [_run, _arun])
def test_neither_a_slow_caller_nor_a_slow_store_lets_parts_pile_up(sqlite_url: str, run: Callable[..., None]) -> None:
    class Slow(Oracle):
        def check(self, part: Any) -> None:
            time.sleep(0.001)
            self.checked.append((part["type"], part["ns"]))
            steps = sum(kind == "updates" for kind, _ in self.checked)
            self.ahead.append(len(made) - steps)

    made: list[str] = []

    def counted(state: Any) -> dict[str, Any]:
        made.append("")
        return {"log": ["x"]}

    oracle = Slow(sqlite_url, "")
    graph = StateGraph(Log).add_node("step", counted).add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: "step" if len(state["log"]) < 60 else END)
    with slow_saver(sqlite_url, 0.003) as saver, oracle.saver:
        run(graph.compile(checkpointer=saver), {"log": []}, oracle, holds=True)

    assert len(made) == 60
    assert max(oracle.ahead) <= 2
