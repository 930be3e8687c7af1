"""What was written beside a checkpoint, replaced."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.types import INTERRUPT

from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.checkpoints.rewriting import rewrite


def test_only_the_values_of_the_task_are_replaced(saver: SQLSaver) -> None:
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    at = saver.put(config, empty_checkpoint(), {}, {})
    saver.put_writes(at, [("a", 1), ("b", 2), ("c", 3)], "mine")
    saver.put_writes(at, [(INTERRUPT, "asked")], "mine")
    saver.put_writes(at, [("a", 4)], "other")

    rewrite(saver, at, [("b", 5), ("a", 6)], "mine")

    stored = saver.get_tuple(config)
    assert stored is not None
    writes = stored.pending_writes or []
    assert [write for write in writes if write[1] != INTERRUPT] == [
        ("mine", "b", 5),
        ("mine", "a", 6),
        ("other", "a", 4),
    ]
    assert ("mine", INTERRUPT, "asked") in writes
