"""Reading one thread of LangGraph's own savers, a checkpoint at a time, oldest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, writes_sort_key

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.errors import is_database_fault
from guardgraph.storage.sql.places import config_at
from guardgraph.storage.sql.stock.databases import StockDatabase
from guardgraph.storage.sql.stock.versions import with_numbers

__all__ = ("StockCheckpoint", "TaskItems", "checkpoint_ids", "namespaces_of", "read_checkpoint")

_PAGE = 500


class TaskItems(NamedTuple):
    """What a task wrote, each value with its number and its channel."""

    task_id: str
    task_path: str
    items: list[tuple[int, str, Any]]


class StockCheckpoint(NamedTuple):
    """A checkpoint as `SQLSaver` stores it, and what tasks wrote at it."""

    checkpoint: Checkpoint
    metadata: Mapping[str, Any]
    parent_id: str | None
    tasks: list[TaskItems]


def namespaces_of(database: StockDatabase, thread_id: str) -> list[str]:
    """Return the namespaces in which a thread has checkpoints."""
    return [namespace for (namespace,) in database.select("namespaces", (thread_id,))]


def checkpoint_ids(database: StockDatabase, thread_id: str, namespace: str) -> Iterator[str]:
    """Yield the ids of the checkpoints of a namespace, oldest first."""
    found = database.select("first ids", (thread_id, namespace, _PAGE))
    while found:
        yield from (name for (name,) in found)
        found = database.select("next ids", (thread_id, namespace, found[-1][0], _PAGE))


def read_checkpoint(database: StockDatabase, thread_id: str, namespace: str, checkpoint_id: str) -> StockCheckpoint:
    """Return one checkpoint.

    Raises:
        StorageCorrupt: it is not what a saver of LangGraph's stores.
    """
    try:
        return _read(database, thread_id, namespace, checkpoint_id)
    except Exception as error:  # whatever damaged data makes the saver raise
        if is_database_fault(error):
            raise
        raise StorageCorrupt(f"it cannot be read: {type(error).__name__}: {error}", thread_id=thread_id) from error


def _read(database: StockDatabase, thread_id: str, namespace: str, checkpoint_id: str) -> StockCheckpoint:
    config: RunnableConfig = config_at(thread_id, namespace, checkpoint_id)
    found = database.saver.get_tuple(config)
    if found is None or found.checkpoint["id"] != checkpoint_id:
        raise ValueError("it has another id in its row")
    rows = database.select("writes", (thread_id, namespace, checkpoint_id))
    rows.sort(key=lambda row: writes_sort_key(*row[:3]))  # the order in which the saver returns them
    tasks: dict[str, TaskItems] = {}
    for (path, task_id, number, _), (_, channel, value) in zip(rows, found.pending_writes or (), strict=True):
        task = tasks.get(task_id, TaskItems(task_id, path, []))
        tasks[task_id] = task._replace(task_path=path)
        task.items.append((number, channel, value))
    checkpoint: Any = with_numbers(found.checkpoint)
    unversioned = checkpoint["channel_values"].keys() - checkpoint["channel_versions"].keys()
    if unversioned:
        raise ValueError(f"its channels {sorted(unversioned)} have values without a version")
    parent = (found.parent_config or {}).get("configurable", {}).get("checkpoint_id")
    return StockCheckpoint(checkpoint, found.metadata, parent, [*tasks.values()])
