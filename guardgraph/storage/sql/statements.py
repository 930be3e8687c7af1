"""What is asked of the database, as pure functions: rows to store, and statements over the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_serializable_checkpoint_metadata,
)
from sqlalchemy import Delete, Dialect, Insert, Select, Table, and_, delete, insert, literal, or_, select
from sqlalchemy.dialects import mysql, postgresql, sqlite

from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place, checked_id, value_key
from guardgraph.storage.sql.tables import checkpoints, lines, values, writes

__all__ = (
    "CHUNK",
    "Row",
    "ancestors",
    "checkpoint_at",
    "checkpoint_row",
    "checkpoints_matching",
    "chunks",
    "copied",
    "insert_new",
    "insert_or_replace",
    "line_row",
    "lines_of",
    "rows_of_line",
    "value_rows",
    "values_at",
    "write_rows",
    "writes_at",
)

CHUNK = 400
"""How many keys one statement names at most; every database takes a few hundred parameters."""

Row = dict[str, Any]
"""What is to be stored in one row, by column."""


def chunks(keys: Iterable[Any], size: int = CHUNK) -> Iterable[list[Any]]:
    """Cut keys into lists that fit one statement."""
    items = list(keys)
    return (items[start : start + size] for start in range(0, len(items), size))


def line_row(place: Place) -> Row:
    """Return the row that says which thread and namespace a line is."""
    return {"line": place.line, "thread_id": place.thread_id, "checkpoint_ns": place.namespace}


def checkpoint_row(
    codec: Codec, config: RunnableConfig, place: Place, checkpoint: Checkpoint, metadata: CheckpointMetadata
) -> Row:
    """Return the row of a checkpoint: all but its channels' values. `place` names its parent."""
    stored = cast(dict[str, Any], get_serializable_checkpoint_metadata(config, metadata))
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
) -> tuple[list[Row], list[Row]]:
    """Return the rows of a task's writes: those that keep what is there already, and those that replace it."""
    keep: list[Row] = []
    replace: list[Row] = []
    for position, (channel, value) in enumerate(items):
        idx = WRITES_IDX_MAP.get(channel, position)
        (keep if idx >= 0 else replace).append(
            {
                "line": place.line,
                "checkpoint_id": place.checkpoint_id,
                "task_id": checked_id("task_id", task_id),
                "idx": idx,
                "task_path": task_path.encode("utf-8", "surrogatepass"),
                "channel": channel.encode("utf-8", "surrogatepass"),
                "data": codec.dumps(value, where=channel),
            }
        )
    return keep, replace


def insert_new(dialect: Dialect, table: Table) -> Insert:
    """Return an insert that leaves a row alone which has the same key."""
    if dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    if dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return insert(table).prefix_with("IGNORE")


def insert_or_replace(dialect: Dialect, table: Table) -> Insert:
    """Return an insert that replaces a row which has the same key."""
    keys = list(table.primary_key.columns)
    rest = [column.name for column in table.columns if not column.primary_key]
    if dialect.name == "postgresql":
        fresh = postgresql.insert(table)
        return fresh.on_conflict_do_update(index_elements=keys, set_={name: fresh.excluded[name] for name in rest})
    if dialect.name == "sqlite":
        new = sqlite.insert(table)
        return new.on_conflict_do_update(index_elements=keys, set_={name: new.excluded[name] for name in rest})
    other = mysql.insert(table)
    return other.on_duplicate_key_update({name: other.inserted[name] for name in rest})


def checkpoint_at(place: Place) -> Select[Any]:
    """Select the checkpoint that `place` names, or the newest of its line."""
    found = select(checkpoints).where(checkpoints.c.line == place.line)
    if place.checkpoint_id is not None:
        return found.where(checkpoints.c.checkpoint_id == place.checkpoint_id)
    return found.order_by(checkpoints.c.checkpoint_id.desc()).limit(1)


def checkpoints_matching(
    *,
    thread_id: str | None,
    namespace: str | None,
    checkpoint_id: str | None,
    before: str | None,
    after: tuple[str, bytes] | None,
    limit: int,
) -> Select[*tuple[Any, ...]]:
    """Select checkpoints, newest first; `after` is the last row of the page before this one."""
    table = checkpoints.c
    found = select(lines.c.thread_id, lines.c.checkpoint_ns, checkpoints).join(lines, lines.c.line == table.line)
    conditions = {
        lines.c.thread_id: thread_id,
        lines.c.checkpoint_ns: namespace,
        table.checkpoint_id: checkpoint_id,
    }
    found = found.where(*(column == wanted for column, wanted in conditions.items() if wanted is not None))
    if before is not None:
        found = found.where(table.checkpoint_id < before)
    if after is not None:
        last_id, last_line = after
        found = found.where(
            or_(table.checkpoint_id < last_id, and_(table.checkpoint_id == last_id, table.line < last_line))
        )
    return found.order_by(table.checkpoint_id.desc(), table.line.desc()).limit(limit)


def values_at(line: bytes, keys: Sequence[bytes]) -> Select[Any, Any]:
    """Select the stored values of one line by their keys."""
    return select(values.c.value, values.c.data).where(values.c.line == line, values.c.value.in_(keys))


def writes_at(line: bytes, ids: Sequence[str], channels: Sequence[str] | None = None) -> Select[Any]:
    """Select the writes of some checkpoints of one line, of all channels or of those that are named."""
    found = select(writes).where(writes.c.line == line, writes.c.checkpoint_id.in_(ids))
    if channels is None:
        return found
    return found.where(writes.c.channel.in_([channel.encode("utf-8", "surrogatepass") for channel in channels]))


def ancestors(line: bytes, checkpoint_id: str, *, limit: int) -> Select[Any, Any]:
    """Select up to `limit` ancestors of a checkpoint, its parent first, in one query."""
    table = checkpoints.c
    chain = (
        select(table.parent_id.label("checkpoint_id"), literal(1).label("level"))
        .where(table.line == line, table.checkpoint_id == checkpoint_id)
        .cte("chain", recursive=True)
    )
    older = (
        select(table.parent_id, chain.c.level + 1)
        .join(chain, table.checkpoint_id == chain.c.checkpoint_id)
        .where(table.line == line, chain.c.level < limit)
    )
    chain = chain.union_all(older)
    return (
        select(table.checkpoint_id, table.body)
        .join(chain, table.checkpoint_id == chain.c.checkpoint_id)
        .where(table.line == line)
        .order_by(chain.c.level)
    )


def lines_of(thread_id: str) -> Select[Any]:
    """Select the lines of a thread."""
    return select(lines).where(lines.c.thread_id == thread_id)


def rows_of_line(table: Table, line: bytes) -> Delete:
    """Delete the rows of one line from one table."""
    return delete(table).where(table.c.line == line)


def copied(table: Table, source: bytes, target: bytes) -> Insert:
    """Copy the rows of one line of one table to another line, inside the database."""
    rest = [column for column in table.columns if column.name != "line"]
    rows = select(literal(target, table.c.line.type), *rest).where(table.c.line == source)
    return insert(table).from_select(["line", *(column.name for column in rest)], rows)
