"""Teams on checkpointers that are not ours: what they may store, and what they say about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from guardgraph.agents import Agent
from guardgraph.storage import types_of_graph
from tests.graphs.checkpointed import graph_of_all, run_on, savers
from tests.graphs.teams import WAYS, plan_of, team
from tests.house.sources import ROOT


class CopyingSaver(InMemorySaver):
    """Stores what is configured with each checkpoint, except what begins with `__`, as agent servers do."""

    stored: Sequence[str] = ()

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: dict[str, str | int | float],
    ) -> RunnableConfig:
        configured = {
            name: value for name, value in config.get("configurable", {}).items() if not name.startswith("__")
        }
        self.stored = sorted({*self.stored, *configured})
        kept: Any = {**configured, **metadata}
        return super().put(config, checkpoint, kept, new_versions)


@pytest.mark.parametrize("way", WAYS)
def test_a_nested_team_runs_where_all_that_is_configured_is_stored(way: str) -> None:
    saver = CopyingSaver()
    inner = team(plan_of("x")).compile()
    graph = team(plan_of("a"), workers=[Agent("team", run=inner)]).compile(checkpointer=saver)

    outcome = WAYS[way](graph, "the task", {"configurable": {"thread_id": "t", "tenant": "acme"}})

    assert (outcome.status, outcome.value) == ("completed", [["done: do x"]])
    assert saver.stored == ["checkpoint_id", "checkpoint_map", "checkpoint_ns", "tenant", "thread_id"]


def test_under_strict_deserialization_every_word_comes_back_and_nothing_is_blocked() -> None:
    environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true", "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-m", "tests.graphs.checkpointed"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["said"] == []
    assert found["shown"] == {name: {"statuses": ["degraded"] * 2, "plain": []} for name in savers()}


def test_one_line_registers_all_types_of_a_team_with_a_stock_saver() -> None:
    events: list[SerdeEvent] = []
    forget = register_serde_event_listener(events.append)
    serde = JsonPlusSerializer(allowed_msgpack_modules=types_of_graph(graph_of_all()))
    try:
        seen = run_on(InMemorySaver(serde=serde))
    finally:
        forget()

    assert (seen.statuses, seen.plain) == (["degraded"] * 2, [])
    assert events == []
