"""Damage to what is stored of a thread beside its checkpoints: boards, events of its runs, and published events."""

from __future__ import annotations

from sqlalchemy import Connection, select

from guardgraph.state import StorageCorrupt
from guardgraph.storage.sql.board_rows import board_damage
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.events import event_damage
from guardgraph.storage.sql.published import published_damage
from guardgraph.storage.sql.tables import runs

__all__ = ("damage_beside_checkpoints",)


def damage_beside_checkpoints(
    connection: Connection, codec: Codec, tenant: str, thread_id: str
) -> list[StorageCorrupt]:
    """Return the error that reading each damaged part raises; it names a column, and no checkpoint."""
    mine = select(runs.c.run_id).where(runs.c.tenant == tenant, runs.c.thread_id == thread_id).order_by(runs.c.number)
    run_ids = connection.execute(mine).scalars().all()
    events = (event_damage(connection, codec, tenant, run_id) for run_id in run_ids)
    found = [
        *board_damage(connection, codec, tenant, thread_id),
        *(error for error in events if error is not None),
        *published_damage(connection, codec, tenant, thread_id),
    ]
    return [StorageCorrupt(str(error), thread_id=thread_id, column=error.column) for error in found]
