"""Holding what a saver is given in memory for a while, to commit several supersteps together."""

from __future__ import annotations

import atexit
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from threading import Lock, RLock, Timer
from typing import NamedTuple, TypeAlias
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
from guardgraph.storage.sql.checkpoints.memory import Memory, Namespace
from guardgraph.storage.sql.checkpoints.recorder import Again, Job, Recorder
from guardgraph.storage.sql.checkpoints.storing import Diverged, Moved
from guardgraph.storage.sql.places import Place

__all__ = ("HeldCall", "Known", "WriteBehind")

_LOG = logging.getLogger(__name__)
_MOST = 256
"""Calls that are held for one thread at most."""
_LONGEST = 3600
"""Seconds that anything is held at most."""
_RETRY = 1.0
"""Seconds after which it is tried again, at the earliest, where something could not be stored."""
_LOST = "goes on from what is stored: what `write_behind` held is dropped; resume it"
_PASSING = (StorageBusy, StorageFull, StorageReadOnly, StorageUnavailable)
"""Faults after which the same calls may succeed later."""


class Known(NamedTuple):
    """How often what a saver remembers of a thread has become void so far."""

    forgotten: int
    """How often others have changed what that relied on: what was packed before has to be packed again."""
    dropped: int
    """How often what was held was dropped: what was packed before builds on that."""


class HeldCall(NamedTuple):
    """What is to be stored, and where."""

    recorder: Recorder
    place: Place
    job: Job
    """Stores it as it was packed."""
    again: Again
    """Packs it again and stores it, where what it relied on has changed."""
    checkpoint_id: str | None
    """The checkpoint that it stores."""
    known: Known
    """What was valid when it was packed."""


_Stored: TypeAlias = "list[tuple[HeldCall, Namespace]]"


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
        self._seconds, self._memory, self.process = float(seconds), memory, os.getpid()
        self._of: dict[str, _Held] = {}
        self._forgotten: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._lost: dict[str, set[str]] = {}
        """The ids of the checkpoints that were dropped."""
        self._guard = Lock()
        self._timer: Timer | None = None
        _open.add(self)

    def known(self, place: Place) -> Known:
        """Return what is valid before something is packed that is stored at, or after, a checkpoint.

        Raises:
            StorageError: that checkpoint was dropped.
        """
        thread_id = place.thread_id
        if place.checkpoint_id in self._lost.get(thread_id, ()):
            raise StorageError(f"thread {thread_id!r} {_LOST}", thread_id=thread_id)
        return Known(self._forgotten[thread_id], self._dropped[thread_id])

    def add(self, call: HeldCall, packed: Callable[[], object]) -> None:
        """Hold a call, and note by `packed` what it stores, if what it relies on is still valid."""
        thread_id = call.place.thread_id
        with self._guard:
            if self._dropped[thread_id] != call.known.dropped:
                raise StorageError(f"thread {thread_id!r} {_LOST}", thread_id=thread_id)
            self._of.setdefault(thread_id, _Held()).calls.append(call)
            if call.known.forgotten == self._forgotten[thread_id]:
                packed()
            if self._timer is None:
                self._start(self._seconds)

    def must_flush(self, thread_id: str) -> bool:
        """Return whether `flush` is due: too much is held, or has failed to be stored."""
        held = self._of.get(thread_id)
        return held is not None and (len(held.calls) >= _MOST or held.error is not None)

    def flush(self, thread_id: str | None = None) -> None:
        """Store what is held for one thread, or for all; raise why it cannot be stored."""
        for error in self._stored((thread_id,) if thread_id is not None else tuple(self._of)).values():
            raise error

    def _start(self, seconds: float) -> None:
        self._timer = Timer(seconds, self._flush_due)
        self._timer.daemon = True
        self._timer.start()

    def _flush_due(self) -> None:
        """Store what is held, and see to what is held meanwhile, or on."""
        errors: dict[str, BaseException] = {}
        try:
            errors = self._stored(tuple(self._of))
        finally:
            with self._guard:
                for thread_id, error in errors.items():
                    self._of.setdefault(thread_id, _Held()).error = error
                self._timer = None
                if any(held.calls for held in self._of.values()):
                    self._start(max(self._seconds, _RETRY) if errors else self._seconds)
        for thread_id, error in errors.items():
            _LOG.warning("what is held of thread %r is not stored: %s", thread_id, error)

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
        while begun := [_Batch(self, name, one) for name, one in held.items() if one.calls and name not in errors]:
            try:
                for batch in begun:
                    batch.begin()
                for batch in begun:
                    if (error := batch.finish()) is None:
                        continue
                    errors[batch.thread_id] = error
                    if not isinstance(error, _PASSING):
                        self._drop(batch)
            except BaseException:  # of this thread alone, such as Ctrl-C
                for batch in begun:
                    batch.hold_on()
                raise
        return errors

    def is_packed(self, call: HeldCall) -> bool:
        """Return whether what a call has packed is still to be stored as it is."""
        return call.known.forgotten == self._forgotten[call.place.thread_id]

    def note(self, stored: Iterable[tuple[HeldCall, Namespace]]) -> None:
        """Note calls that are committed where nothing was known of their namespace before."""
        with self._guard:
            news = [(call, at) for call, at in stored if self._memory.get(call.place.name) is None]
            for call, at in news:
                if self.is_packed(call):
                    call.job.stored(at)

    def forget(self, thread_id: str, calls: Sequence[HeldCall]) -> None:
        """Forget what was noted of calls of a thread, and of those that are held after them: others have changed it."""
        with self._guard:
            later = self._of[thread_id].calls
            self._memory.forget(*{call.place.name for call in (*calls, *later)})
            self._forgotten[thread_id] += 1

    def _drop(self, batch: _Batch) -> None:
        """Drop what builds on a batch that is not stored."""
        with self._guard:
            dropped = batch.drop()
            self._memory.forget(*{call.place.name for call in dropped})
            lost = self._lost.setdefault(batch.thread_id, set())
            lost.update(call.checkpoint_id for call in dropped if call.checkpoint_id)
            self._dropped[batch.thread_id] += 1


class _Batch:
    """What is stored in one transaction: all that is held of a thread under the same lease."""

    def __init__(self, behind: WriteBehind, thread_id: str, held: _Held) -> None:
        self.thread_id, self._behind, self._held = thread_id, behind, held
        self._writes = held.calls[0].recorder.writes
        self._calls = [*takewhile(lambda call: call.recorder.writes is self._writes, held.calls)]
        self._future: Future[_Stored] | None = None
        self._has_ended = False

    def begin(self) -> None:
        """Submit it."""
        self._submit()
        del self._held.calls[: len(self._calls)]

    def finish(self) -> BaseException | None:
        """Wait until it is committed, and return why it is not; it is held on where that may pass."""
        try:
            try:
                self._wait()
            except (Moved, Diverged):
                self._behind.forget(self.thread_id, self._calls)
                self._submit()
                self._wait()
        except _PASSING as error:
            self.hold_on()
            return error
        except Exception as error:
            self._has_ended = True
            return error
        self._has_ended = True
        return None

    def hold_on(self) -> None:
        """Hold its calls on, if it was begun and has not ended."""
        if self._future is not None and not self._has_ended:
            self._has_ended = True
            self._held.calls[:0] = self._calls

    def drop(self) -> list[HeldCall]:
        """Drop what is held of the thread, and return it."""
        dropped = [*self._calls, *self._held.calls]
        self._held.calls.clear()
        return dropped

    def _submit(self) -> None:
        self._future = self._writes.submit(self.thread_id, self._store, self._behind.note, patience=None)

    def _wait(self) -> None:
        assert self._future is not None, "it was begun"
        self._writes.commits.work_until(self._future)
        self._future.result()

    def _store(self, connection: Connection) -> _Stored:
        """Store each call as it was packed, or again where what it relied on is void; return those that are noted."""
        stored: _Stored = []
        memory = Memory()
        for call in self._calls:
            if self._behind.is_packed(call):
                stored.append((call, call.job.store(connection)))
            else:
                self._again(call, connection, memory)
        return stored

    def _again(self, call: HeldCall, connection: Connection, memory: Memory) -> None:
        """Pack a call again: with a memory of the transaction alone, for that of the saver knows what is held later."""
        by, within = call.recorder, self._writes.changed(connection=connection)
        call.again(Recorder(by.codec, memory, within, by.trust_identity)).result()


_open: WeakSet[WriteBehind] = WeakSet()


@atexit.register
def _flush_all() -> None:
    """Store what is held when the process ends by itself."""
    for behind in tuple(_open):
        if behind.process != os.getpid():  # of the parent of a forked process, which stores it
            continue
        try:
            behind.flush()
        except Exception:
            _LOG.exception("what `write_behind` held is lost")
