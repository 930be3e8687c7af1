"""The log in which a saver notes what it has committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from threading import Timer
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from guardgraph.state import StorageError, Unserializable
from guardgraph.storage.sql.checkpoints.commits import COMMITS, CommitLog
from guardgraph.storage.sql.checkpoints.saver import SQLSaver

Wait = Callable[[CommitLog, set[str], float], bool]


def waits(log: CommitLog, rows: set[str], patience: float) -> bool:
    return log.wait(rows, patience)


def awaits(log: CommitLog, rows: set[str], patience: float) -> bool:
    return asyncio.run(log.await_(rows, patience))


both = pytest.mark.parametrize("wait", [waits, awaits])


@both
def test_waiting_ends_when_all_rows_are_noted(wait: Wait) -> None:
    log = CommitLog()
    log.note("a")
    Timer(0.05, log.note, ["b"]).start()
    began = time.monotonic()

    assert wait(log, {"a", "b"}, 10)
    assert time.monotonic() - began < 5


@both
def test_or_when_it_takes_too_long_or_a_row_is_postponed(wait: Wait) -> None:
    log = CommitLog()
    assert not wait(log, {"a"}, 0.01)

    log.postpone("a")
    assert not wait(log, {"a"}, 10)
    log.note("a")
    assert wait(log, {"a"}, 10)


@both
def test_the_fault_of_a_row_is_raised_where_it_is_awaited_unless_it_was_stored_after_all(wait: Wait) -> None:
    log = CommitLog()
    Timer(0.05, log.fail, ["a", StorageError("no")]).start()

    with pytest.raises(StorageError, match="no"):
        wait(log, {"a"}, 10)
    assert wait(log, set(), 10)
    log.note("a")
    assert wait(log, {"a"}, 10)


def test_a_saver_notes_what_it_has_committed_and_what_it_could_not_store(database_url: str) -> None:
    log, checkpoint = CommitLog(), empty_checkpoint()
    position: dict[str, Any] = {"thread_id": "t", "checkpoint_ns": ""}
    with SQLSaver.from_url(database_url) as saver:
        stored: Any = saver.put({"configurable": {**position, COMMITS: log}}, checkpoint, {}, {})
        assert log.committed == {checkpoint["id"]}

        at: Any = {"configurable": {**stored["configurable"], COMMITS: log}}
        saver.put_writes(at, [("x", 1)], "task")
        with pytest.raises(Unserializable):
            saver.put_writes(at, [("x", object())], task_id="other")
        assert log.committed == {checkpoint["id"], "task"}
        with pytest.raises(Unserializable):
            log.wait({"other"}, 10)

        loaded = CommitLog()
        saver.put_writes(at, [("__interrupt__", ())], "asks")
        assert saver.get_tuple({"configurable": {**position, COMMITS: loaded}})
        assert loaded.committed == {checkpoint["id"], "task"}
