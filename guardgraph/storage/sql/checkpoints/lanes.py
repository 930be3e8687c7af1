"""Running blocking calls for coroutines: in order for each thread of a graph, beside each other for different ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial, wraps
from inspect import signature
from queue import SimpleQueue
from threading import Lock, Thread
from time import thread_time
from typing import Any, TypeVar, cast
from weakref import finalize

__all__ = ("Lanes", "async_twin", "thread_key")

T = TypeVar("T")
_NAME = "guardgraph-sql"
_BRIEF = 0.002
"""Seconds of CPU that a call may take on an event loop; after a longer one, those for its key leave the loop."""
_LONG_KEYS = 10_000
_Job = tuple[Future[Any], Callable[[], Any]]


class Lanes:
    """A few daemon threads, each with a queue of its own; a key always goes to the same one.

    A call that was accepted is made, also when the coroutine that waits for it is cancelled. A call that hangs blocks
    its own lane, never the event loop and never the end of the process.
    """

    def __init__(self, count: int = 4) -> None:
        self._queues: list[SimpleQueue[_Job | None]] = [SimpleQueue() for _ in range(count)]
        self._started: set[int] = set()
        self._accepted: Counter[str] = Counter()
        """The calls that were accepted for each key and are not made yet."""
        self._long: set[str] = set()
        self._guard = Lock()
        self._stop = finalize(self, _stop, self._queues)

    async def run(self, key: str, call: Callable[[], T]) -> T:
        """Make `call` after all calls that were accepted for `key` before it, and return its result."""
        with self._guard:
            self._accepted[key] += 1
        return await self._accept(hash(key) % len(self._queues), call, partial(self._made, key))

    async def run_brief(self, key: str, call: Callable[[], T]) -> T:
        """Do as `run` with a call that waits for nothing: it is made at once, unless the last one has taken long.

        So it costs no change of threads, and a large value is packed on the event loop once at most.
        """
        if self._accepted[key] or key in self._long:
            return await self.run(key, call)
        began = thread_time()
        try:
            return call()
        finally:
            if thread_time() - began > _BRIEF:
                self._note_long(key)

    async def drain(self) -> None:
        """Wait until all calls are made that were accepted so far."""
        for number in tuple(self._started):
            await self._accept(number, lambda: None, lambda _: None)

    def close(self) -> None:
        """Let the threads end once they have made the calls that were accepted; a later `run` starts them again."""
        with self._guard:
            for number in self._started:
                self._queues[number].put(None)
            self._started.clear()

    def _note_long(self, key: str) -> None:
        with self._guard:
            if len(self._long) >= _LONG_KEYS:
                self._long.clear()
            self._long.add(key)

    def _made(self, key: str, _: object) -> None:
        with self._guard:
            self._accepted[key] -= 1
            if not self._accepted[key]:
                del self._accepted[key]

    async def _accept(self, number: int, call: Callable[[], T], made: Callable[[Future[T]], object]) -> T:
        self._start(number)
        future: Future[T] = Future()
        future.add_done_callback(made)
        self._queues[number].put((future, call))
        return await asyncio.shield(asyncio.wrap_future(future))

    def _start(self, number: int) -> None:
        with self._guard:
            if number not in self._started:
                self._started.add(number)
                Thread(target=_work, args=(self._queues[number],), name=f"{_NAME}-{number}", daemon=True).start()


def async_twin(method: Callable[..., Any]) -> Any:
    """Return the async form of a saver's method, which runs it in the worker thread of its thread id."""
    bind = signature(method).bind

    @wraps(method)
    async def twin(saver: Any, *args: Any, **kwargs: Any) -> Any:
        _, subject, *_ = bind(saver, *args, **kwargs).arguments.values()
        call = partial(getattr(saver, method.__name__), *args, **kwargs)  # of a subclass, if it has its own
        return await saver.run_in_lane(thread_key(subject), call)

    return twin


def thread_key(subject: object) -> str:
    """Return the thread id of a config, or one that is given as such; none where a call concerns several threads."""
    if isinstance(subject, Mapping):
        return str(cast("Mapping[str, Any]", subject).get("configurable", {}).get("thread_id", ""))
    return subject if isinstance(subject, str) else ""


def _work(queue: SimpleQueue[_Job | None]) -> None:
    while (job := queue.get()) is not None:
        future, call = job
        try:
            future.set_result(call())
        except BaseException as error:  # handed to the coroutine that waits
            future.set_exception(error)
        del job, future, call  # an idle lane keeps nothing alive


def _stop(queues: list[SimpleQueue[_Job | None]]) -> None:
    for queue in queues:
        queue.put(None)
