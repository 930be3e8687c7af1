"""Holding what a saver is given in memory for a while, to commit several supersteps together."""

from __future__ import annotations

import atexit
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from threading import Lock, RLock, Timer
from typing import NamedTuple
from weakref import WeakSet

from sqlalchemy import Connection

from guardgraph.state import (
    BadInput,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnavailable,
)
from guardgraph.storage.sql.checkpoints.memory import Memory
from guardgraph.storage.sql.checkpoints.recorder import Again, Job, Recorder
from guardgraph.storage.sql.checkpoints.storing import Diverged, Moved
from guardgraph.storage.sql.errors import translate_errors
from guardgraph.storage.sql.places import Place

__all__ = ("HeldCall", "HoldingRecorder", "WriteBehind")

_LOG = logging.getLogger(__name__)
_MOST = 256
"""Calls that are held for one thread at most."""
_LONGEST = 3600
"""Seconds that anything is held at most."""
_LOST = "goes on from what is stored: what `write_behind` held is dropped; resume it"
_PASSING = (StorageBusy, StorageFull, StorageReadOnly, StorageUnavailable)
"""Faults after which the same calls may succeed later."""


class HeldCall(NamedTuple):
    """What is to be stored, and where."""

    recorder: Recorder
    place: Place
    store: Callable[[Connection], object]
    """Stores it as it was packed."""
    again: Again
    """Packs it again and stores it, where what it relied on has changed."""


@dataclass(slots=True, eq=False)
class _Held:
    """What is held for one thread."""

    calls: list[HeldCall] = field(default_factory=list[HeldCall])
    error: BaseException | None = None
    """Why the calls before were not stored in the background; raised by the next one."""
    lock: RLock = field(default_factory=RLock)
    """Held while they are stored, so that they are in their order."""


class WriteBehind:
    """Holds what is packed for up to some seconds, and stores that of each thread in one transaction, in its order.

    A process that dies loses what is held: its threads are then where they were at the last commit, never in between.
    What cannot be stored for a passing reason, such as a full disk, is held on. For any other it is dropped, so that
    nothing is stored that builds on it.
    """

    def __init__(self, seconds: float, memory: Memory) -> None:
        """Hold each call for so many seconds at most; what is held is noted in `memory` as if it were stored.

        Raises:
            BadInput: that is no number of seconds above 0.
        """
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not is_number or not 0 < seconds <= _LONGEST:
            raise BadInput(f"`write_behind` is a number of seconds above 0, at most {_LONGEST}; got {seconds!r}")
        self._seconds, self._memory = float(seconds), memory
        self._of: dict[str, _Held] = {}
        self._dropped: Counter[str] = Counter()
        self._guard = Lock()
        self._timer: Timer | None = None
        _open.add(self)

    def dropped(self, thread_id: str) -> int:
        """Return how often what was held of a thread was dropped."""
        return self._dropped[thread_id]

    def add(self, call: HeldCall, *, dropped: int) -> None:
        """Hold what was packed when so much had been `dropped`; else it builds on that, and is refused."""
        thread_id = call.place.thread_id
        with self._guard:
            if self._dropped[thread_id] != dropped:
                raise StorageError(f"thread {thread_id!r} {_LOST}", thread_id=thread_id)
            self._of.setdefault(thread_id, _Held()).calls.append(call)
            if self._timer is None:
                self._timer = Timer(self._seconds, self._flush_due)
                self._timer.daemon = True
                self._timer.start()

    def must_flush(self, thread_id: str) -> bool:
        """Return whether `flush` is due: too much is held, or has failed to be stored."""
        held = self._of.get(thread_id)
        return held is not None and (len(held.calls) >= _MOST or held.error is not None)

    def flush(self, thread_id: str | None = None) -> None:
        """Store what is held for one thread, or for all; raise why it cannot be stored."""
        for error in self._stored((thread_id,) if thread_id is not None else tuple(self._of)).values():
            raise error

    def _flush_due(self) -> None:
        with self._guard:
            self._timer = None
        for thread_id, error in self._stored(tuple(self._of)).items():
            _LOG.warning("what is held of thread %r is not stored: %s", thread_id, error)
            with self._guard:
                self._of.setdefault(thread_id, _Held()).error = error

    def _stored(self, thread_ids: Iterable[str]) -> dict[str, BaseException]:
        """Store what is held for some threads, in as few commits as possible; return the errors, also earlier ones."""
        held = {thread_id: self._of[thread_id] for thread_id in sorted(thread_ids) if thread_id in self._of}
        errors: dict[str, BaseException] = {}
        with ExitStack() as locks:
            for thread_id, one in held.items():
                locks.enter_context(one.lock)
                error, one.error = one.error, None
                if error is not None and not isinstance(error, _PASSING):
                    errors[thread_id] = error
            errors |= self._committed({name: one for name, one in held.items() if name not in errors})
            with self._guard:
                for thread_id, one in held.items():
                    if not one.calls and self._of.get(thread_id) is one:
                        del self._of[thread_id]
        return errors

    def _committed(self, held: Mapping[str, _Held]) -> dict[str, BaseException]:
        """Store what is held of some threads, whose locks the caller holds, and return the errors."""
        errors: dict[str, BaseException] = {}
        while begun := [
            _Batch(name, one, self._memory) for name, one in held.items() if one.calls and name not in errors
        ]:
            for batch in begun:
                batch.begin()
            for batch in begun:
                error = batch.finish()
                if error is None:
                    continue
                errors[batch.thread_id] = error
                if not isinstance(error, _PASSING):
                    self._drop(batch)
        return errors

    def _drop(self, batch: _Batch) -> None:
        """Drop what builds on a batch that is not stored."""
        with self._guard:
            self._dropped[batch.thread_id] += 1
            batch.drop()


class _Batch:
    """What is stored in one transaction: all that is held of a thread under the same lease."""

    def __init__(self, thread_id: str, held: _Held, memory: Memory) -> None:
        self.thread_id, self._held, self._memory = thread_id, held, memory
        self._writes = held.calls[0].recorder.writes
        self._calls = [*takewhile(lambda call: call.recorder.writes is self._writes, held.calls)]
        self._future: Future[None]

    def begin(self) -> None:
        """Submit it."""
        del self._held.calls[: len(self._calls)]
        self._submit(self._store)

    def finish(self) -> BaseException | None:
        """Wait until it is committed, and return why it is not; it is held on where that may pass."""
        try:
            try:
                self._wait()
            except (Moved, Diverged):
                self._submit(self._store_again)
                self._wait()
        except _PASSING as error:
            self._held.calls[:0] = self._calls
            return error
        except Exception as error:
            return error
        except BaseException:
            self._held.calls[:0] = self._calls
            raise
        return None

    def drop(self) -> None:
        """Drop what is held of the thread, and forget that it was."""
        self._calls += self._held.calls
        self._held.calls.clear()
        self._forget()

    def _submit(self, store: Callable[[Connection], None]) -> None:
        self._future = self._writes.submit(self.thread_id, store, _nothing, patience=None, undo=self._forget)

    def _wait(self) -> None:
        self._writes.commits.work_until(self._future)
        self._future.result()

    def _store(self, connection: Connection) -> None:
        for call in self._calls:
            call.store(connection)

    def _store_again(self, connection: Connection) -> None:
        within = self._writes.changed(connection=connection)
        for call in self._calls:
            by = call.recorder
            call.again(Recorder(by.codec, by.memory, within, by.trust_identity)).result()

    def _forget(self) -> None:
        """Forget what was noted of a transaction that has failed."""
        self._memory.forget(*{call.place.name for call in self._calls})


def _nothing(_: None) -> None:
    """Do nothing once a batch is committed."""


@dataclass(frozen=True, slots=True)
class HoldingRecorder(Recorder):
    """A `Recorder` that packs what is to be stored at once, and lets that be held."""

    behind: WriteBehind

    def must_wait(self, place: Place, /) -> bool:
        """See `Recorder.must_wait`."""
        return self.memory.get(place.name) is None or self.behind.must_flush(place.thread_id)

    def submitted(
        self, place: Place, draft: Callable[[], Job], again: Again, /, *, patience: float | None
    ) -> Future[None]:
        """See `Recorder.submitted`; the future of what is held is done at once.

        What comes first in a namespace is not held: those after it build on its number.
        """
        if self.memory.get(place.name) is None:
            self.behind.flush(place.thread_id)
            return super(HoldingRecorder, self).submitted(place, draft, again, patience=patience)
        if self.behind.must_flush(place.thread_id):
            self.behind.flush(place.thread_id)
        dropped = self.behind.dropped(place.thread_id)
        with translate_errors(place.thread_id):
            job = draft()
        known = self.memory.get(place.name)
        assert known is not None, "the draft was made with it"
        self.behind.add(HeldCall(self, place, job.store, again), dropped=dropped)
        job.stored(known.namespace)
        held: Future[None] = Future()
        held.set_result(None)
        return held

    def tasks_at(self, place: Place) -> Callable[[], frozenset[bytes]]:
        """See `Recorder.tasks_at`: what is held counts as stored, but may be forgotten until it is."""
        tasks = frozenset(self.memory.tasks_at(place.name, place.checkpoint_id))
        return lambda: tasks


_open: WeakSet[WriteBehind] = WeakSet()


@atexit.register
def _flush_all() -> None:
    """Store what is held when the process ends by itself."""
    for behind in tuple(_open):
        try:
            behind.flush()
        except Exception:
            _LOG.exception("what `write_behind` held is lost")
