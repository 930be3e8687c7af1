"""Storing checkpoints and writes again."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME

from guardgraph.storage import SQLSaver
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
