"""Copies and forks of threads, whose runs go on independently of their origin's; each is made in one transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from guardgraph.state import BadInput, new_id
from guardgraph.storage.retention import CheckpointKey, StoredCheckpoint, lineage
from guardgraph.storage.sql.board_rows import copy_boards
from guardgraph.storage.sql.checkpoints.copying import Copying, copy_thread
from guardgraph.storage.sql.checkpoints.retention import stored_checkpoints
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.events import copy_events
from guardgraph.storage.sql.published import copy_published
from guardgraph.storage.sql.statements import namespaces_of_thread
from guardgraph.storage.sql.thread_rows import check_idle, has_boards, idle, insert_run, runs_of

__all__ = ("Origin", "origin_of")

_RUN_ID = re.compile("[0-9a-f]{32}")
_UNFINISHED: dict[str, Any] = {"status": None, "outcome": None, "ended": None, "command": None}
_Row = Mapping[Any, Any]


class Origin(NamedTuple):
    """A thread of which a copy or a fork is made."""

    tenant: str
    thread_id: str
    checkpoints: Mapping[CheckpointKey, StoredCheckpoint]
    runs: Sequence[_Row]
    """The rows of its runs, oldest first."""

    @property
    def head(self) -> str | None:
        """The newest checkpoint of its outermost graph."""
        return max((name for namespace, name in self.checkpoints if not namespace), default=None)

    def copy_to(self, connection: Connection, codec: Codec, target: str) -> int:
        """Copy all of it; return the number of checkpoints. See `fork_to` for the errors."""
        return self._copy(connection, target, Copying(codec), self.runs, with_events=True)

    def fork_to(self, connection: Connection, codec: Codec, target: str, checkpoint_id: str | None) -> int:
        """Copy what one checkpoint comes from, by default the newest; return the number of checkpoints.

        The tasks of an earlier checkpoint work again, and its run has not ended unless that was its last one. Boards
        are as they were when it was made.

        Raises:
            BadInput: the target exists; there is no such checkpoint; or a run was not begun by a `Runner`.
            ThreadBusy: somebody works on the target.
            StorageCorrupt: a part of what is copied is damaged.
        """
        at = checkpoint_id or self.head
        if checkpoint_id is not None and ("", checkpoint_id) not in self.checkpoints:
            raise BadInput(
                f"thread {self.thread_id!r} has no checkpoint {checkpoint_id!r}; "
                f"`guardgraph threads history {self.thread_id}` lists them"
            )
        if at is None or at == self.head:
            keys = frozenset[CheckpointKey]() if at is None else lineage(self.checkpoints, at, with_work=True)
            return self._copy(connection, target, Copying(codec, keys), self._runs_in(keys, and_last=True))
        keys = lineage(self.checkpoints, at, with_work=False)
        copied = [self._as_at(at, row) for row in self._runs_in(keys)]
        until = self.checkpoints["", at].created
        return self._copy(connection, target, Copying(codec, keys, bare=("", at)), copied, until=until)

    def _runs_in(self, keys: frozenset[CheckpointKey], *, and_last: bool = False) -> list[_Row]:
        """Return the runs that have made some checkpoints; the last one may have made none so far."""
        made = {self.checkpoints[key].run_id for key in keys} | {row["run_id"] for row in self.runs[-1:] if and_last}
        return [row for row in self.runs if row["run_id"] in made]

    def _as_at(self, checkpoint_id: str, row: _Row) -> _Row:
        """Return the row of a run as it was at a checkpoint: without its end, where the run went on after that."""
        run_id = self.checkpoints["", checkpoint_id].run_id
        went_on = any(
            one.parent_id == checkpoint_id and one.run_id == run_id and not one.namespace
            for one in self.checkpoints.values()
        )
        return {**row, **_UNFINISHED} if row["run_id"] == run_id and went_on else row

    def _copy(
        self,
        connection: Connection,
        target: str,
        copying: Copying,
        copied: Sequence[_Row],
        *,
        with_events: bool = False,
        until: datetime | None = None,
    ) -> int:
        unfit = [row["run_id"] for row in copied if not _RUN_ID.fullmatch(row["run_id"])]
        if unfit:
            raise BadInput(f"run {unfit[0]!r} was not begun by a Runner, so its id cannot be replaced in a copy")
        ids = {row["run_id"]: new_id() for row in copied}
        with idle(connection, self.tenant, target):
            if runs_of(connection, self.tenant, target) or has_boards(connection, self.tenant, target):
                raise BadInput(f"cannot copy thread {self.thread_id!r} to {target!r}: that thread exists")
            count = copy_thread(connection, self.tenant, self.thread_id, target, replace(copying, run_ids=ids))
            for row in copied:
                insert_run(connection, {**row, "run_id": ids[row["run_id"]], "thread_id": target})
            copy_published(connection, copying.codec, self.tenant, self.thread_id, target)
            for run_id, new_run in ids.items() if with_events else ():
                copy_events(connection, copying.codec, self.tenant, run_id, new_run)
            copy_boards(connection, copying.codec, self.tenant, self.thread_id, target, ids, until=until)
        return count


def origin_of(connection: Connection, codec: Codec, tenant: str, thread_id: str) -> Origin:
    """Return a thread of which a copy is to be made. Raises `ThreadBusy` where somebody works on it."""
    check_idle(connection, tenant, thread_id)
    rows = connection.execute(namespaces_of_thread(tenant, thread_id)).all()
    found = stored_checkpoints(connection, codec, rows)
    return Origin(tenant, thread_id, found, runs_of(connection, tenant, thread_id))
