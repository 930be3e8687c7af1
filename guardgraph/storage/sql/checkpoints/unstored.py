"""What was accepted for coroutines and is not committed yet: what is read next in the same thread waits for it."""

from __future__ import annotations

from concurrent.futures import Future, wait
from threading import Lock

__all__ = ("Unstored",)


class Unstored:
    """The futures of writes, by the threads that they belong to; each is done with its commit."""

    def __init__(self) -> None:
        self._of: dict[str, set[Future[None]]] = {}
        self._guard = Lock()

    def add(self, thread_id: str, written: Future[None]) -> Future[None]:
        """Count a write until it is done, and return it."""
        with self._guard:
            self._of.setdefault(thread_id, set()).add(written)
        written.add_done_callback(lambda done: self._remove(thread_id, done))
        return written

    def __bool__(self) -> bool:
        return bool(self._of)

    def wait(self, thread_id: str = "") -> None:
        """Wait until what was accepted for a thread is committed or has failed; for all threads where none is named."""
        with self._guard:
            of_thread = self._of.get(thread_id, ())
            waiting = list(of_thread) if thread_id else [one for some in self._of.values() for one in some]
        wait(waiting)

    def _remove(self, thread_id: str, done: Future[None]) -> None:
        with self._guard:
            left = self._of.get(thread_id, set())
            left.discard(done)
            if not left:
                self._of.pop(thread_id, None)
