"""Deleting, copying and pruning threads; each is called inside one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, literal, select

from guardgraph.state import BadInput
from guardgraph.storage.sql.checkpoints.loading import ancestors_until_stored, load_values, value_keys
from guardgraph.storage.sql.checkpoints.storing import line_row
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.places import Place
from guardgraph.storage.sql.statements import checkpoint_at, chunks, lines_of
from guardgraph.storage.sql.tables import checkpoints, lines, values, writes

__all__ = ("copy_thread", "delete_runs", "delete_thread", "keep_latest")

_DELTA_COUNTERS = "counters_since_delta_snapshot"


def delete_thread(connection: Connection, thread_id: str) -> None:
    """Delete all that is stored of a thread; an unknown one is no error."""
    for line in connection.execute(lines_of(thread_id)).all():
        _delete_line(connection, line.line)


def delete_runs(connection: Connection, codec: Codec, run_ids: Sequence[str]) -> None:
    """Delete the checkpoints of some runs with their writes, and the values that nothing else needs.

    A thread that goes on after a deleted run loses the history of its delta channels from before the next snapshot.
    """
    touched: set[bytes] = set()
    for some in chunks(run_ids):
        found = select(checkpoints.c.line, checkpoints.c.checkpoint_id).where(checkpoints.c.run_id.in_(some))
        for line, checkpoint_id in connection.execute(found).all():
            _delete_checkpoints(connection, line, [checkpoint_id])
            touched.add(line)
    for line in touched:
        _sweep(connection, codec, line)


def copy_thread(connection: Connection, source: str, target: str) -> None:
    """Copy every checkpoint, value and write of a thread to a new one; an unknown source copies nothing.

    Raises:
        BadInput: the target already exists; two histories are never mixed.
    """
    if connection.execute(lines_of(target)).first():
        raise BadInput(
            f"cannot copy thread {source!r} to {target!r}: that thread exists; delete it, or choose another id"
        )
    for line in connection.execute(lines_of(source)).all():
        place = Place(target, line.checkpoint_ns, None)
        connection.execute(lines.insert(), line_row(place))
        for table in (checkpoints, values, writes):
            names = [column.name for column in table.columns if column.name != "line"]
            rows = select(literal(place.line, table.c.line.type), *(table.c[name] for name in names))
            connection.execute(table.insert().from_select(["line", *names], rows.where(table.c.line == line.line)))


def keep_latest(connection: Connection, codec: Codec, thread_id: str) -> None:
    """Delete all but the newest checkpoint of each namespace of a thread.

    Ancestors that hold what a delta channel is rebuilt from are kept, back to each such channel's last stored value.
    """
    for line in connection.execute(lines_of(thread_id)).all():
        newest = connection.execute(checkpoint_at(Place(thread_id, line.checkpoint_ns, None))).one_or_none()
        if newest is None:
            continue
        kept = {newest.checkpoint_id, *_needed(connection, codec, line.line, newest)}
        ids = connection.execute(select(checkpoints.c.checkpoint_id).where(checkpoints.c.line == line.line)).scalars()
        _delete_checkpoints(connection, line.line, [item for item in ids.all() if item not in kept])
        _sweep(connection, codec, line.line)


def _needed(connection: Connection, codec: Codec, line: bytes, newest: Any) -> list[str]:
    """Return the ancestors from which the delta channels of a checkpoint are rebuilt."""
    counters: dict[str, Any] = codec.loads(bytes(newest.metadata)).get(_DELTA_COUNTERS) or {}
    keys = value_keys(codec.loads(bytes(newest.body)))
    stored = load_values(connection, line, {keys[channel] for channel in counters if channel in keys})
    missing = {channel for channel in counters if keys.get(channel) not in stored}
    pages = ancestors_until_stored(connection, codec, line, newest.checkpoint_id, missing)
    return [ancestor.checkpoint_id for page in pages for ancestor in page]


def _delete_checkpoints(connection: Connection, line: bytes, ids: Iterable[str]) -> None:
    for some in chunks(ids):
        for table in (writes, checkpoints):
            connection.execute(delete(table).where(table.c.line == line, table.c.checkpoint_id.in_(some)))


def _sweep(connection: Connection, codec: Codec, line: bytes) -> None:
    """Delete the values of a line that no checkpoint names, and the line itself when it has no checkpoint left."""
    bodies = connection.execute(select(checkpoints.c.body).where(checkpoints.c.line == line)).scalars().all()
    if not bodies:
        _delete_line(connection, line)
        return
    named = {key for body in bodies for key in value_keys(codec.loads(bytes(body))).values()}
    stored = connection.execute(select(values.c.value).where(values.c.line == line)).scalars().all()
    for some in chunks(bytes(key) for key in stored if bytes(key) not in named):
        connection.execute(delete(values).where(values.c.line == line, values.c.value.in_(some)))


def _delete_line(connection: Connection, line: bytes) -> None:
    for table in (writes, values, checkpoints, lines):
        connection.execute(delete(table).where(table.c.line == line))
