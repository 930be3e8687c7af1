"""Simulated runs: virtual time, a scheduler with a seed, and no thread. The same seed gives the same run.

Sync code of agents, which otherwise works in threads, ends after a random time; async code and models sleep in virtual
time. So the order in which attempts end is random, depends on the seed alone, and deadlines of minutes take none.
"""

from __future__ import annotations

import asyncio
import json
import re
import selectors
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import Context
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from random import Random
from sys import modules
from typing import Any, ClassVar
from unittest.mock import patch

from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.concurrency import isolation
from guardgraph.runtime.execution_context import KEY, ExecutionContext
from guardgraph.runtime.rates.turns import Turns
from guardgraph.runtime.services import Services
from guardgraph.state import Outcome, RunEvent, error_text
from guardgraph.storage.memory_values import MemoryValues
from tests.conformance.search import States, add_state

__all__ = ("Simulated", "simulate")

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{8,}")
_LONGEST = 100_000.0
"""Virtual seconds after which a run counts as one that never ends."""
_TURNS = 200_000
"""Turns of the loop without any progress of time after which a run counts as one that never ends."""


class Simulated:
    """What a simulated run gave: the last state of each team, and a trace in which ids are replaced by their order."""

    def __init__(self, states: States, events: list[RunEvent], problems: list[str], seconds: float) -> None:
        self.states, self.problems, self.seconds = states, problems, seconds
        names: dict[str, str] = {}
        written = [*(_written(event.model_dump(mode="json")) for event in events), _written(_dumped(self.outcome))]
        self.trace = [_ID.sub(lambda found: names.setdefault(found[0], f"#{len(names)}"), one) for one in written]

    @property
    def outcome(self) -> Outcome | None:
        """The outcome of the outermost team."""
        found = self.states.get((), {}).get("outcome")
        return found if isinstance(found, Outcome) else None


def simulate(graph: Any, config: dict[str, Any], random: Random) -> Simulated:
    """Run a compiled graph in virtual time; latencies are drawn from `random`."""
    loop, events, problems = _SimulatedLoop(), list[RunEvent](), list[str]()
    values = MemoryValues(lambda: _EPOCH.timestamp() + loop.time())
    services = Services(
        clock=lambda: _EPOCH + timedelta(seconds=loop.time()),
        on_event=events.append,
        circuits=Circuits(values),
        turns=Turns(values),
    )
    config = {**config, "configurable": {KEY: ExecutionContext(services)}}
    states: States = {}

    async def run() -> None:
        parts = graph.astream({"task": "the task"}, config, stream_mode="tasks", subgraphs=True)
        async for namespace, part in parts:
            add_state(states, namespace, part)

    with _patched(loop, random):
        try:
            loop.run_until_complete(run())
        except _NoEnd as error:
            problems.append(f"hangs: {error}")
        except BaseException as error:
            problems.append(f"escaped: {error_text(error)}")
        finally:
            loop.stop_all()
    found = Simulated(states, events, problems, loop.time())
    if not problems and found.outcome is None:
        problems.append(f"escaped: it ends without an outcome, with {states!r:.200}")
    return found


class _NoEnd(BaseException):
    """A run that never ends."""


class _Inline(ThreadPoolExecutor):
    """An executor that does its work at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done = Future[Any]()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


class _VirtualSelector(selectors.SelectSelector):
    """A selector that does not wait: it moves the time of its loop on."""

    loop: _SimulatedLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            self.loop.advance(timeout)
        return ready


def _numbered(self: Any) -> int:
    """Return a hash that is the same in every run: by default the order of a set depends on addresses in memory."""
    if getattr(self, "number", None) is None:
        self.number = next(_NumberedTask.numbers)
    return self.number


class _NumberedTask(asyncio.Task[Any]):
    numbers: ClassVar[Iterator[int]] = count()
    __hash__ = _numbered


class _NumberedFuture(asyncio.Future[Any]):
    __hash__ = _numbered


class _SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        selector = _VirtualSelector()
        selector.loop = self
        self._virtual, self._idle = 0.0, 0
        super().__init__(selector)
        self.set_default_executor(_Inline(1))
        _NumberedTask.numbers = count()
        self.set_task_factory(lambda loop, work, **options: _NumberedTask(work, loop=loop, **options))

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future with a number."""
        return _NumberedFuture(loop=self)

    def time(self) -> float:
        """Return the virtual seconds since its start."""
        return self._virtual

    def advance(self, timeout: float | None) -> None:
        """Let `timeout` seconds pass; raise where nothing will ever happen, or nothing ends."""
        if timeout is None:
            raise _NoEnd("all wait, and nothing is left that could wake them")
        self._idle = 0 if timeout else self._idle + 1
        self._virtual += timeout
        if self._virtual > _LONGEST or self._idle > _TURNS:
            raise _NoEnd(f"no end after {self._virtual:.0f} virtual seconds")

    def stop_all(self) -> None:
        """Cancel what is left, and close the loop."""
        left = asyncio.all_tasks(self)
        for task in left:
            task.cancel()
        if left:
            self.run_until_complete(asyncio.wait(left, timeout=60))
        self.close()


@contextmanager
def _patched(loop: _SimulatedLoop, random: Random) -> Generator[None]:
    """Replace clocks and threads while a simulation runs."""

    async def in_turn(
        work: Callable[[], Any], *, timeout: float | None, context: Context | None = None, token: Any = None
    ) -> Any:
        seconds = _latency(random)
        if timeout is not None and seconds >= timeout:
            await asyncio.sleep(timeout)
            raise isolation.TimedOut
        await asyncio.sleep(seconds)
        return work() if context is None else context.run(work)

    waits = isolation.wait_abandoning

    async def later(work: Coroutine[Any, Any, Any], **limits: Any) -> Any:
        async def body() -> Any:
            try:
                await asyncio.sleep(_latency(random) / 10)
                return await work
            finally:
                work.close()

        return await waits(body(), **limits)

    with ExitStack() as stack:
        for name, module in list(modules.items()):
            if name.startswith("guardgraph.") and callable(getattr(module, "monotonic", None)):
                stack.enter_context(patch.object(module, "monotonic", loop.time))
        for name, new in {"arun_in_thread": in_turn, "wait_abandoning": later, "redirect_calls": _nothing}.items():
            stack.enter_context(patch.object(isolation, name, new))
        yield


def _latency(random: Random) -> float:
    """Return how long code works: mostly much less than a deadline, now and then more."""
    return random.choice([0.0, 0.001, 0.01, 0.04, 0.1, 0.6, 20.0])


def _nothing(_: object) -> None:
    """Leave a loop as it is."""


def _dumped(outcome: Outcome | None) -> Any:
    return None if outcome is None else outcome.model_dump(mode="json")


_written = partial(json.dumps, sort_keys=True, default=str)
