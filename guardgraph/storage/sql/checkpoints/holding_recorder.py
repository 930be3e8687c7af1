"""Putting checkpoints and writes that are held for a while."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from guardgraph.storage.sql.checkpoints.recorder import Again, Job, Recorder
from guardgraph.storage.sql.checkpoints.write_behind import HeldCall, WriteBehind
from guardgraph.storage.sql.errors import translate_errors
from guardgraph.storage.sql.places import Place

__all__ = ("HoldingRecorder",)


@dataclass(frozen=True, slots=True)
class HoldingRecorder(Recorder):
    """A `Recorder` that packs what is to be stored at once, and lets that be held."""

    behind: WriteBehind

    def must_wait(self, place: Place, /, *, to_put: bool) -> bool:
        """See `Recorder.must_wait`."""
        return self._is_first(place, to_put=to_put) or self.behind.must_flush(place.thread_id)

    def submitted(
        self,
        place: Place,
        draft: Callable[[], Job],
        again: Again,
        /,
        *,
        patience: float | None,
        checkpoint_id: str | None = None,
    ) -> Future[None]:
        """See `Recorder.submitted`; the future of what is held is done at once.

        What comes first in a namespace is stored at once: those after it build on its number. So is a checkpoint after
        one that was read: it may append to a list that goes on already. All goes through what is held, in one order.
        """
        is_first = self._is_first(place, to_put=checkpoint_id is not None)
        if self.behind.must_flush(place.thread_id):
            self.behind.flush(place.thread_id)
        known = self.behind.known(place)
        with translate_errors(place.thread_id):
            job = draft()

        def packed() -> None:
            if (at := self.memory.get(place.name)) is not None:
                job.stored(at.namespace)

        self.behind.add(HeldCall(self, place, job, again, checkpoint_id, known), packed)
        if is_first:
            self.behind.flush(place.thread_id)
        held: Future[None] = Future()
        held.set_result(None)
        return held

    def _is_first(self, place: Place, *, to_put: bool) -> bool:
        known = self.memory.get(place.name)
        return known is None or (to_put and (known.was_read or not self.knows_parent(place)))

    def tasks_at(self, place: Place) -> Callable[[], frozenset[bytes]]:
        """See `Recorder.tasks_at`: what is held counts as stored, but may be forgotten until it is."""
        tasks = frozenset(self.memory.tasks_at(place.name, place.checkpoint_id))
        return lambda: tasks
