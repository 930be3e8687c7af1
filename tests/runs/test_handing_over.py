"""What is handed over is committed: each part is looked up over a second connection before the next is requested."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from langgraph.types import Command

from guardgraph.runs.acknowledgement import HeldParts
from guardgraph.runs.handing_over import ahand_over, hand_over
from guardgraph.storage.sql.checkpoints.commits import COMMITS, CommitLog
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from tests.runs.streamed_graphs import GRAPHS, compiled

_MODES = ("values", "updates", "tasks", "checkpoints", "debug", "messages", "custom")
_RUNS_AGAIN = ("unstored", "again")


class SlowSaver(SQLSaver):
    """Each transaction is committed a little later."""

    delay = 0.02

    @contextmanager
    def _writing(self, thread_id: str | None) -> Generator[Any]:
        with super()._writing(thread_id) as connection:
            yield connection
            time.sleep(self.delay)


class Oracle:
    """Looks up what a part tells, by a saver of its own."""

    def __init__(self, url: str, name: str) -> None:
        self.saver, self.name = SQLSaver.from_url(url), name
        self.checked: list[tuple[str, tuple[str, ...]]] = []
        self.early: list[Any] = []

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
        found = (dict(zip(("task", "channel", "value"), write, strict=True)) for write in written)
        return any(all(_equal(one[key], value) for key, value in wanted.items()) for one in found)

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
    with SlowSaver.from_url(url) as saver, oracle.saver:
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
