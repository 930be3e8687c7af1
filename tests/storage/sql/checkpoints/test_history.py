"""The history of delta channels."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from sqlalchemy import event

from guardgraph.storage import SQLSaver
from tests.storage.sql.stored import checkpoint_of, config_of, store


def chain(saver: BaseCheckpointSaver[Any], length: int, *, seed_at: frozenset[int]) -> list[RunnableConfig]:
    """Put checkpoints of one delta channel "d" and one plain one; each step writes its number to both."""
    made: list[RunnableConfig] = []
    for step in range(length):
        checkpoint = checkpoint_of({"plain": step} | ({"d": f"seed {step}"} if step in seed_at else {}))
        checkpoint["channel_versions"] = {"plain": step + 1, "d": step + 1}
        config = made[-1] if made else config_of("t")
        made.append(saver.put(config, checkpoint, {"step": step}, checkpoint["channel_versions"]))
        saver.put_writes(made[-1], [("d", f"{step}.1"), ("other", 0), ("d", f"{step}.2")], f"b{step}", "2")
        saver.put_writes(made[-1], [("d", f"{step}.0")], f"a{step}", "1")
    return made


@pytest.mark.parametrize("seed_at", [frozenset[int](), frozenset({0}), frozenset({3, 7}), frozenset({139})])
def test_it_is_what_langgraphs_own_saver_gives(saver: SQLSaver, seed_at: frozenset[int]) -> None:
    known = InMemorySaver()
    made = chain(known, 140, seed_at=seed_at)
    ours = chain(saver, 140, seed_at=seed_at)

    for index in (0, 1, 5, 128, 129, 139):
        expected = known.get_delta_channel_history(config=made[index], channels=["d", "plain", "missing"])
        assert saver.get_delta_channel_history(config=ours[index], channels=["d", "plain", "missing"]) == expected


async def test_the_async_twin_gives_the_same(saver: SQLSaver) -> None:
    made = chain(saver, 5, seed_at=frozenset({1}))

    found = await saver.aget_delta_channel_history(config=made[-1], channels=["d"])

    assert found == saver.get_delta_channel_history(config=config_of("t"), channels=["d"])
    assert found["d"].get("seed") == "seed 1"
    assert [value for _, _, value in found["d"]["writes"]] == [f"{step}.{n}" for step in (1, 2, 3) for n in range(3)]


def test_no_channel_and_no_checkpoint_have_no_history(saver: SQLSaver) -> None:
    store(saver, "t")

    assert saver.get_delta_channel_history(config=config_of("t"), channels=[]) == {}
    assert saver.get_delta_channel_history(config=config_of("unknown"), channels=["d"]) == {"d": {"writes": []}}


def test_a_hundred_ancestors_take_three_queries(sqlite_url: str) -> None:
    with SQLSaver.from_url(sqlite_url) as saver:
        made = chain(saver, 101, seed_at=frozenset({0}))
        statements: list[str] = []
        event.listen(saver.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

        found = saver.get_delta_channel_history(config=made[-1], channels=["d"])

    assert len(found["d"]["writes"]) == 300
    assert sum(statement.startswith(("SELECT", "WITH")) for statement in statements) == 3
