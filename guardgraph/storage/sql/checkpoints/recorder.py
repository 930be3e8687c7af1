"""Putting and getting single checkpoints, with what the saver remembers of the one before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointTuple
from sqlalchemy import Connection

from guardgraph.state import StorageBusy
from guardgraph.storage.sql.checkpoints.inserts import count_pending
from guardgraph.storage.sql.checkpoints.lists import KnownList, known_list
from guardgraph.storage.sql.checkpoints.loading import Found, find_checkpoint, load_checkpoint
from guardgraph.storage.sql.checkpoints.memory import Manifest, Memory, Namespace, Remembered
from guardgraph.storage.sql.checkpoints.packing import task_mark
from guardgraph.storage.sql.checkpoints.storing import (
    Base,
    Diverged,
    Moved,
    draft_checkpoint,
    draft_writes,
    namespace_at,
    store_blobs,
    store_checkpoint,
    store_writes,
)
from guardgraph.storage.sql.checkpoints.values import Values
from guardgraph.storage.sql.checkpoints.writes import Writes
from guardgraph.storage.sql.codec.codec import Codec
from guardgraph.storage.sql.deferred import run_deferred
from guardgraph.storage.sql.errors import translate_errors
from guardgraph.storage.sql.places import Place

__all__ = ("Again", "Job", "Recorder")

_ATTEMPTS = 10
_PATIENCE = 0.002
"""Seconds that the writes of a task wait for the checkpoint of its superstep, to be committed with it."""
_NOTHING = Manifest({}, {})


class Job(NamedTuple):
    """What is done in a transaction, and once it is committed."""

    store: Callable[[Connection], Namespace]
    stored: Callable[[Namespace], object]
    undo: Callable[[], object] | None = None
    """What is done where the transaction fails."""


Again: TypeAlias = "Callable[[Recorder], Future[None]]"
"""Lets another recorder store the same."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Reads and writes the checkpoints of a saver, one at a time."""

    codec: Codec
    memory: Memory
    writes: Writes
    trust_identity: bool

    def get(self, place: Place) -> CheckpointTuple | None:
        """Return a checkpoint, and remember its lists for the one that comes next."""
        found: list[tuple[Found, Manifest, Values]] = []
        with self.writes.reading(place.thread_id) as connection:
            loaded = load_checkpoint(connection, self.codec, place, remember=lambda *read: found.append(read))
        for at, manifest, values in found if loaded else ():
            elements = loaded.checkpoint["channel_values"] if loaded else {}
            self.memory.read_checkpoint(
                place.name, at.at, at.checkpoint_id, manifest, self._lists(at, values, elements)
            )
            tasks = {task for task, *_ in (loaded.pending_writes if loaded else None) or ()}
            self.memory.stored_writes(place.name, at.at, at.checkpoint_id, map(task_mark, tasks))
        return loaded

    def knows_parent(self, place: Place) -> bool:
        """Return whether nothing is to be read before a checkpoint is stored after the one that `place` names."""
        known = self.memory.get(place.name)
        return place.checkpoint_id is None or (known is not None and place.checkpoint_id in known.manifests)

    def put(
        self,
        place: Place,
        checkpoint: Checkpoint,
        metadata: Mapping[str, Any],
        new_versions: ChannelVersions,
        *,
        by_caller: bool,
    ) -> Future[None]:
        """Store a checkpoint, and return a future that is done once it is; `place` names its parent.

        `by_caller` leaves the work to the caller, who calls `finish` at once.
        """

        def draft() -> Job:
            known = self._with_parent(place)
            base = self._base(known, place)
            draft = draft_checkpoint(self.codec, base, place, checkpoint, metadata, new_versions)
            blobs, tasks = _new_blobs(known, draft.blobs), self.tasks_at(place)

            def store(connection: Connection) -> Namespace:
                at = known.namespace if known else namespace_at(connection, place)
                store_blobs(connection, at, blobs)
                store_checkpoint(connection, place, at, draft, tasks())
                return at

            def stored(at: Namespace) -> None:
                self.memory.stored_blobs(place.name, at, draft.blobs)
                self.memory.stored_checkpoint(place.name, at, draft.row["checkpoint_id"], draft.manifest, draft.lists)

            return Job(store, stored)

        def again(recorder: Recorder) -> Future[None]:
            return recorder.put(place, checkpoint, metadata, new_versions, by_caller=by_caller)

        patience = None if by_caller else 0.0
        return self.submitted(place, draft, again, patience=patience, checkpoint_id=checkpoint["id"])

    def put_writes(
        self,
        place: Place,
        writes: Mapping[str, Sequence[tuple[int, str, Any]]],
        *,
        task_path: str = "",
        replace: bool = False,
    ) -> Future[None]:
        """Store the numbered writes of tasks, by their ids, at the checkpoint that `place` names.

        See `put` for what is returned.
        """

        def draft() -> Job:
            blobs: dict[bytes, bytes] = {}
            marks, checkpoint_id = [*map(task_mark, writes)], place.checkpoint_id or ""
            drafts = {task: draft_writes(self.codec, items, blobs=blobs) for task, items in writes.items()}
            has_stopped = any(write.idx < 0 for items in drafts.values() for write in items)
            known = self.memory.get(place.name)
            new = _new_blobs(known, blobs)

            def store(connection: Connection) -> Namespace:
                at = known.namespace if known else namespace_at(connection, place)
                store_blobs(connection, at, new)
                written = self.memory.tasks_at(place.name, checkpoint_id)
                for task, items in drafts.items():
                    is_new = known is not None and not replace and task_mark(task) not in written
                    about = {"task_id": task, "task_path": task_path}
                    store_writes(connection, place, at, items, **about, replace=replace, is_new=is_new)
                if has_stopped:
                    run_deferred(connection)  # so that the rows above are counted
                    count_pending(connection, {"of_namespace": at.namespace_id, "of_checkpoint": checkpoint_id})
                if known:  # so that a checkpoint that is committed with it names the tasks
                    self.memory.stored_writes(place.name, at, checkpoint_id, marks)
                return at

            def stored(at: Namespace) -> None:
                self.memory.stored_blobs(place.name, at, blobs)
                self.memory.stored_writes(place.name, at, checkpoint_id, marks)

            return Job(store, stored, lambda: self.memory.lost_writes(place.name, checkpoint_id, marks))

        def again(recorder: Recorder) -> Future[None]:
            return recorder.put_writes(place, writes, task_path=task_path, replace=replace)

        return self.submitted(place, draft, again, patience=_PATIENCE)

    def must_wait(self, place: Place, /, *, to_put: bool) -> bool:
        """Return whether storing writes at a checkpoint, or a checkpoint after it, first waits for the database."""
        return to_put and not self.knows_parent(place)

    def tasks_at(self, place: Place) -> Callable[[], Collection[bytes]]:
        """Return what gives the tasks whose writes at a checkpoint are stored, when the next one is."""
        return lambda: self.memory.tasks_at(place.name, place.checkpoint_id)

    def finish(self, done: Future[None]) -> None:
        """Do the work of what was put, and of others; raise what it raised."""
        self.writes.commits.work_until(done)
        done.result()

    def submitted(
        self,
        place: Place,
        draft: Callable[[], Job],
        _again: Again,
        /,
        *,
        patience: float | None,
        checkpoint_id: str | None = None,
    ) -> Future[None]:
        """Store what `draft` returns; it is called again where something has changed what that relied on.

        `checkpoint_id` is that of the checkpoint that is stored, if it is one.
        """
        done: Future[None] = Future()
        left = iter(range(_ATTEMPTS))

        def attempt() -> None:
            try:
                if next(left, None) is None:
                    raise _restless(place)
                with translate_errors(place.thread_id):
                    job = draft()
                future = self.writes.submit(place.thread_id, job.store, job.stored, patience=patience, undo=job.undo)
                future.add_done_callback(ended)
            except BaseException as error:
                done.set_exception(error)

        def ended(future: Future[Namespace]) -> None:
            error = future.exception()
            if isinstance(error, Moved):
                self.memory.forget(place.name)
                attempt()
            elif isinstance(error, Diverged):
                self.memory.close_branches(place.name, [error.branch])
                attempt()
            elif error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        attempt()
        return done

    def _base(self, known: Remembered | None, place: Place) -> Base:
        if known is None:
            return Base(_NOTHING, {}, frozenset(), self.trust_identity)
        parent = known.manifests.get(place.checkpoint_id or "", _NOTHING)
        return Base(parent, known.lists, known.closed, self.trust_identity)

    def _with_parent(self, place: Place) -> Remembered | None:
        """Return what is remembered of a namespace; the parent that `place` names is read if it is not."""
        known = self.memory.get(place.name)
        if self.knows_parent(place):
            return known
        with self.writes.reading(place.thread_id) as connection:
            found = find_checkpoint(connection, place)
            if found is None:
                return known
            values = Values(self.codec)
            values.read(
                connection,
                found.at.namespace_id,
                [entry for entry in found.entries.values() if isinstance(entry, tuple)],
            )
        versions = self.codec.loads(found.core)["channel_versions"]
        manifest, lists = Manifest(versions, found.entries), self._lists(found, values, {})
        self.memory.read_checkpoint(place.name, found.at, found.checkpoint_id, manifest, lists)
        return self.memory.get(place.name)

    def _lists(self, found: Found, values: Values, elements: Mapping[str, Any]) -> dict[str, KnownList]:
        return {
            channel: known_list(
                entry,
                values.tokens(found.place, found.checkpoint_id, channel, entry),
                elements.get(channel, ()),
                trust_identity=self.trust_identity,
            )
            for channel, entry in found.entries.items()
            if isinstance(entry, tuple)
        }


def _restless(place: Place) -> StorageBusy:
    why = "is changed by others all the time; try again"
    return StorageBusy(f"thread {place.thread_id!r} {why}", thread_id=place.thread_id)


def _new_blobs(known: Remembered | None, blobs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: data for key, data in blobs.items() if known is None or key not in known.blobs}
