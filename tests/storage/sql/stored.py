"""Checkpoints to store, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata, empty_checkpoint

from guardgraph.storage import SQLSaver


def config_of(thread_id: str, *, namespace: str | None = "", checkpoint_id: str | None = None) -> RunnableConfig:
    ids = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}
    return {"configurable": {name: value for name, value in ids.items() if value is not None}}


def checkpoint_of(values: dict[str, Any] | None = None, *, version: int = 1) -> Checkpoint:
    values = values or {}
    return {**empty_checkpoint(), "channel_values": values, "channel_versions": dict.fromkeys(values, version)}


def store(
    saver: SQLSaver,
    thread_id: str,
    values: dict[str, Any] | None = None,
    *,
    parent: RunnableConfig | None = None,
    namespace: str = "",
    version: int = 1,
    metadata: dict[str, Any] | None = None,
) -> RunnableConfig:
    """Put one checkpoint whose channels all have a new version; return its config."""
    checkpoint = checkpoint_of(values, version=version)
    facts: CheckpointMetadata = {"source": "loop", "step": 0, **(metadata or {})}  # type: ignore[typeddict-item]
    config = parent or config_of(thread_id, namespace=namespace)
    return saver.put(config, checkpoint, facts, checkpoint["channel_versions"])


def id_of(config: RunnableConfig) -> str:
    return str(config.get("configurable", {})["checkpoint_id"])


def ids_in(saver: SQLSaver, config: RunnableConfig | None, **query: Any) -> list[str]:
    return [id_of(item.config) for item in saver.list(config, **query)]
