"""Storing checkpoints and writes again."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from sqlalchemy import func, select

from guardgraph.state import BadInput
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.checkpoints.storing import draft_writes, numbered
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.engine import read_transaction
from guardgraph.storage.sql.tables import blobs
from tests.storage.sql.stored import checkpoint_of, config_of, store


def writes_in(saver: SQLSaver, config: Any) -> list[tuple[str, Any]]:
    found = saver.get_tuple(config)
    assert found is not None
    return [(channel, value) for _, channel, value in found.pending_writes or ()]


def test_a_write_that_comes_again_keeps_the_first_value(saver: SQLSaver) -> None:
    config = store(saver, "t")
    saver.put_writes(config, [("a", 1)], "task")
    saver.put_writes(config, [("a", 2), ("b", 3)], "task")

    assert writes_in(saver, config) == [("a", 1), ("b", 3)]


@pytest.mark.parametrize("channel", [ERROR, INTERRUPT, RESUME])
def test_a_special_write_that_comes_again_replaces_the_first(saver: SQLSaver, channel: str) -> None:
    config = store(saver, "t")
    saver.put_writes(config, [("a", 1), (channel, "first")], "task")
    saver.put_writes(config, [(channel, "second")], "task")

    assert sorted(writes_in(saver, config)) == sorted([("a", 1), (channel, "second")])


def test_writes_may_come_before_their_checkpoint(saver: SQLSaver) -> None:
    checkpoint = checkpoint_of()
    saver.put_writes(config_of("t", checkpoint_id=checkpoint["id"]), [("a", 1)], "task")
    config = saver.put(config_of("t"), checkpoint, {}, {})

    assert writes_in(saver, config) == [("a", 1)]


def test_a_checkpoint_that_comes_again_replaces_its_metadata_and_keeps_its_values(saver: SQLSaver) -> None:
    checkpoint = checkpoint_of({"a": 1})
    for step in (1, 2):
        config = saver.put(config_of("t"), checkpoint, {"step": step}, {"a": 1})

    found = saver.get_tuple(config)

    assert found is not None
    assert found.metadata.get("step") == 2
    assert found.checkpoint["channel_values"] == {"a": 1}


def test_a_channel_that_became_empty_stays_empty(saver: SQLSaver) -> None:
    checkpoint = checkpoint_of({"a": 1})
    first = saver.put(config_of("t"), checkpoint, {}, {"a": 1})
    emptied = checkpoint_of()
    emptied["channel_versions"] = {"a": 2}
    second = saver.put(first, emptied, {}, {"a": 2})

    found = saver.get_tuple(second)

    assert found is not None
    assert found.checkpoint["channel_values"] == {}
    assert found.parent_config == first


def test_only_the_values_of_the_task_are_replaced(saver: SQLSaver) -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    at = saver.put(config, empty_checkpoint(), {}, {})
    saver.put_writes(at, [("a", 1), ("b", 2), ("c", 3)], "mine")
    saver.put_writes(at, [(INTERRUPT, "asked")], "mine")
    saver.put_writes(at, [("a", 4)], "other")

    saver.replace_writes(at, {"mine": [("b", 5), ("a", 6)]})

    stored = saver.get_tuple(config)
    assert stored is not None
    writes = stored.pending_writes or []
    assert [write for write in writes if write[1] != INTERRUPT] == [
        ("mine", "b", 5),
        ("mine", "a", 6),
        ("other", "a", 4),
    ]
    assert ("mine", INTERRUPT, "asked") in writes


def test_special_writes_have_negative_positions() -> None:
    writes = [("a", 1), ("__error__", "e"), ("b", 2), ("__interrupt__", "i")]

    drafted = draft_writes(Codec(), numbered(writes), blobs={})

    assert [(write.idx, write.channel) for write in drafted] == [
        (0, "a"),
        (-1, "__error__"),
        (2, "b"),
        (-3, "__interrupt__"),
    ]


def test_a_large_value_is_stored_once_for_a_write_and_for_its_channel(saver: SQLSaver) -> None:
    text = "x" * 1000
    config = store(saver, "t")
    saver.put_writes(config, [("a", text), ("b", text), ("c", [text])], "task")
    store(saver, "t", {"a": text, "c": [text, text]}, parent=config, version=2)

    with read_transaction(saver.engine) as connection:
        assert connection.execute(select(func.count()).select_from(blobs)).scalar_one() == 1


@pytest.mark.parametrize(("run_id", "reason"), [("x" * 256, "at most 255 are stored"), (7, "must be a str, got int")])
def test_a_run_id_that_cannot_be_one_is_refused(saver: SQLSaver, run_id: Any, reason: str) -> None:
    with pytest.raises(BadInput, match=f"`run_id` .*{reason}"):
        store(saver, "t", metadata={"run_id": run_id})
