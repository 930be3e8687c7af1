"""Storing checkpoints and writes: their rows as pure functions, and the statements inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_serializable_checkpoint_metadata,
)
from sqlalchemy import Connection, delete

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place, checked_id, value_key
from guardgraph.storage.sql.statements import insert_new, insert_or_replace
from guardgraph.storage.sql.tables import checkpoints, lines, values, writes

__all__ = ("Row", "checkpoint_row", "line_row", "store_checkpoint", "store_writes", "value_rows", "write_rows")

Row = dict[str, Any]
"""What is to be stored in one row, by column."""


def line_row(place: Place) -> Row:
    """Return the row that names the thread and the namespace of a line."""
    return {"line": place.line, "thread_id": place.thread_id, "checkpoint_ns": place.namespace}


def checkpoint_row(
    codec: Codec, config: RunnableConfig, place: Place, checkpoint: Checkpoint, metadata: CheckpointMetadata
) -> Row:
    """Return the row of a checkpoint: all but its channels' values. `place` names its parent."""
    stored = cast(dict[str, Any], get_serializable_checkpoint_metadata(config, metadata))
    stored |= {key: item for key, item in metadata.items() if key in stored}  # LangGraph drops NUL from their texts
    run_id = stored.get("run_id")
    body = {key: item for key, item in checkpoint.items() if key != "channel_values"}
    return {
        "line": place.line,
        "checkpoint_id": checked_id("checkpoint_id", checkpoint["id"]),
        "parent_id": place.checkpoint_id,
        "run_id": None if run_id is None else checked_id("run_id", run_id),
        "body": codec.dumps(body, where="checkpoint"),
        "metadata": codec.dumps(stored, where="metadata"),
    }


def value_rows(codec: Codec, place: Place, checkpoint: Checkpoint, new_versions: ChannelVersions) -> list[Row]:
    """Return the rows of the channels that have a new version; a channel that became empty has no row."""
    found = checkpoint["channel_values"]
    return [
        {"line": place.line, "value": value_key(channel, version), "data": codec.dumps(found[channel], where=channel)}
        for channel, version in new_versions.items()
        if channel in found
    ]


def write_rows(
    codec: Codec, place: Place, items: Sequence[tuple[str, Any]], *, task_id: str, task_path: str
) -> list[Row]:
    """Return the rows of a task's writes; a negative `idx` marks an error, an interrupt or a resume value."""
    return [
        {
            "line": place.line,
            "checkpoint_id": place.checkpoint_id,
            "task_id": checked_id("task_id", task_id),
            "idx": WRITES_IDX_MAP.get(channel, position),
            "task_path": task_path.encode("utf-8", "surrogatepass"),
            "channel": channel.encode("utf-8", "surrogatepass"),
            "data": codec.dumps(value, where=channel),
        }
        for position, (channel, value) in enumerate(items)
    ]


def store_checkpoint(connection: Connection, place: Place, row: Row, new_values: Sequence[Row]) -> None:
    """Store a checkpoint and its new values; an existing value is kept, since a version never changes."""
    connection.execute(insert_new(connection.dialect, lines), line_row(place))
    if new_values:
        connection.execute(insert_new(connection.dialect, values), new_values)
    connection.execute(insert_or_replace(connection.dialect, checkpoints), row)


def store_writes(
    connection: Connection, place: Place, rows: Sequence[Row], *, replaced_task: str | None = None
) -> None:
    """Store a task's writes: an existing row is kept, but replaced where `idx` is negative.

    Rows of `replaced_task` that would be kept are deleted first.
    """
    connection.execute(insert_new(connection.dialect, lines), line_row(place))
    if replaced_task is not None:
        of_task = (writes.c.checkpoint_id == place.checkpoint_id, writes.c.task_id == replaced_task)
        connection.execute(delete(writes).where(writes.c.line == place.line, *of_task, writes.c.idx >= 0))
    if keep := [row for row in rows if row["idx"] >= 0]:
        connection.execute(insert_new(connection.dialect, writes), keep)
    if replace := [row for row in rows if row["idx"] < 0]:
        connection.execute(insert_or_replace(connection.dialect, writes), replace)
