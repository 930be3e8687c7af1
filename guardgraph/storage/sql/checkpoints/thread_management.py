"""Whole threads: deleting, copying, pruning, verifying and repairing them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from sqlalchemy import Connection, Engine

from guardgraph.state import BadInput, StorageCorrupt
from guardgraph.storage.sql.checkpoints.copying import Copying, copy_thread
from guardgraph.storage.sql.checkpoints.lanes import async_twin
from guardgraph.storage.sql.checkpoints.memory import Memory
from guardgraph.storage.sql.checkpoints.removal import Removal, remove
from guardgraph.storage.sql.checkpoints.retention import delete_runs, delete_thread, latest_only, removals_of
from guardgraph.storage.sql.checkpoints.verifying import find_damage, repair_thread
from guardgraph.storage.sql.checkpoints.writes import Writes
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.key_check import check_key
from guardgraph.storage.sql.places import checked_id
from guardgraph.storage.sql.thread_damage import damage_beside_checkpoints
from guardgraph.storage.sql.thread_rows import idle

__all__ = ("ThreadManagement",)


class ThreadManagement:
    """The methods of a saver that concern whole threads."""

    engine: Engine
    codec: Codec
    tenant: str
    _memory: Memory
    _writes: Writes

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that is stored of a thread, its runs and their ledgers too; an unknown one is no error.

        Raises:
            ThreadBusy: a `Runner` works on it.
        """
        job = partial(delete_thread, tenant=self.tenant, thread_id=checked_id("thread_id", thread_id))
        self._memory.forget(*_names(self._writes.do(thread_id, job)))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints and writes of some runs, in all threads.

        A thread that goes on after a deleted run loses the history of its delta channels from before the next snapshot.
        """
        ids = [checked_id("run_id", run_id) for run_id in run_ids]
        touched = self._writes.do(None, lambda connection: delete_runs(connection, self.tenant, ids))
        self._memory.forget(*touched)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all its namespaces, checkpoints and writes; an unknown source copies nothing.

        Its runs are not copied; `Threads.copy` does that.

        Raises:
            BadInput: the target thread exists already.
        """
        source = checked_id("source_thread_id", source_thread_id)
        target = checked_id("target_thread_id", target_thread_id)
        copying = Copying(self.codec)
        self._writes.flush_held(source)
        self._writes.do(target, lambda connection: copy_thread(connection, self.tenant, source, target, copying))

    def prune(
        self, thread_ids: Sequence[str], *, strategy: Literal["keep_latest", "delete"] | str = "keep_latest"
    ) -> None:
        """Make threads smaller: keep the newest checkpoint of each namespace, or delete the threads.

        `keep_latest` also keeps the ancestors from which a delta channel is rebuilt. `Threads.prune` keeps more.

        Raises:
            ThreadBusy: a `Runner` works on a thread; those before it are done.
        """
        if strategy not in {"keep_latest", "delete"}:
            raise BadInput(f"`strategy` must be 'keep_latest' or 'delete', got {strategy!r}")
        for thread_id in thread_ids:
            if strategy == "delete":
                self.delete_thread(thread_id)
            else:
                self._keep_latest(checked_id("thread_id", thread_id))

    def _keep_latest(self, thread_id: str) -> None:
        def job(connection: Connection) -> list[Removal]:
            with idle(connection, self.tenant, thread_id):
                removals, _ = removals_of(connection, self.codec, self.tenant, thread_id, latest_only)
                for removal in removals:
                    remove(connection, removal)
                return removals

        self._memory.forget(*_names(self._writes.do(thread_id, job)))

    def verify(self, thread_id: str) -> list[StorageCorrupt]:
        """Return all damage to a thread, newest first; each error names a checkpoint and a column or channel of it.

        A checkpoint that is damaged raises that error when it is read, and is left out of `list`. An error without a
        checkpoint is that of the thread itself, or of its `boards`, the `events` of its runs, or what was `published`.
        """
        with self._writes.reading(checked_id("thread_id", thread_id)) as connection:
            check_key(connection, self.codec, self.tenant)
            return [
                *find_damage(connection, self.codec, self.tenant, thread_id),
                *damage_beside_checkpoints(connection, self.codec, self.tenant, thread_id),
            ]

    def repair(self, thread_id: str) -> list[StorageCorrupt]:
        """Go back to the last good checkpoint of each namespace of a thread, and return all damage that was found.

        Damaged checkpoints that are newer than it are deleted. Of that one only damaged writes of tasks are deleted,
        which run again. Older damaged checkpoints stay: `list` leaves them out. Boards and events stay as they are.

        Raises:
            ThreadBusy: a `Runner` works on it.
        """
        checked_id("thread_id", thread_id)

        def job(connection: Connection) -> list[StorageCorrupt]:
            with idle(connection, self.tenant, thread_id):
                return [
                    *repair_thread(connection, self.codec, self.tenant, thread_id),
                    *damage_beside_checkpoints(connection, self.codec, self.tenant, thread_id),
                ]

        found = self._writes.do(thread_id, job)
        self._memory.clear()
        return found

    adelete_thread = async_twin(delete_thread)
    adelete_for_runs = async_twin(delete_for_runs)
    acopy_thread = async_twin(copy_thread)
    aprune = async_twin(prune)
    averify = async_twin(verify)
    arepair = async_twin(repair)


def _names(removals: Sequence[Removal]) -> list[bytes]:
    return [bytes(one.namespace.name) for one in removals]
