"""Replacing what was written beside a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from sqlalchemy import delete

from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.checkpoints.storing import store_writes
from guardgraph.storage.sql.engine import write_transaction
from guardgraph.storage.sql.migrate import migrate
from guardgraph.storage.sql.places import place_in
from guardgraph.storage.sql.statements import write_rows
from guardgraph.storage.sql.tables import writes

__all__ = ("rewrite",)


def rewrite(saver: SQLSaver, config: RunnableConfig, items: Sequence[tuple[str, Any]], task_id: str) -> None:
    """Store `items` in place of all that a task has written beside a checkpoint, in one transaction.

    Its errors, interrupts and resume values stay. Nobody may work on the thread.
    """
    place = place_in(config)
    keep, replace = write_rows(saver.codec, place, items, task_id=task_id, task_path="")
    mine = (writes.c.line == place.line, writes.c.checkpoint_id == place.checkpoint_id, writes.c.task_id == task_id)
    migrate(saver.engine)
    with write_transaction(saver.engine, thread_id=place.thread_id) as connection:
        connection.execute(delete(writes).where(*mine, writes.c.idx >= 0))
        store_writes(connection, place, keep=keep, replace=replace)
