from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import pytest

from guardgraph.runtime.concurrency.isolation import (
    TimedOut,
    arun_in_thread,
    run_coroutine_blocking,
    run_in_thread,
    wait_abandoning,
)

LONG = 60.0
SHORT = 0.05
MARK: ContextVar[str] = ContextVar("mark", default="unset")


def sync_on_a_thread(work: Callable[[], Any], timeout: float | None = LONG) -> Any:
    return run_in_thread(work, timeout=timeout)


def sync_on_a_loop(work: Callable[[], Any], timeout: float | None = LONG) -> Any:
    return asyncio.run(arun_in_thread(work, timeout=timeout))


def coroutine_on_a_thread(work: Callable[[], Any], timeout: float | None = LONG) -> Any:
    return run_coroutine_blocking(_as_coroutine(work), timeout=timeout)


def coroutine_on_a_loop(work: Callable[[], Any], timeout: float | None = LONG) -> Any:
    return asyncio.run(wait_abandoning(_as_coroutine(work), timeout=timeout))


async def _as_coroutine(work: Callable[[], Any]) -> Any:
    return work()


WAYS = [sync_on_a_thread, sync_on_a_loop, coroutine_on_a_thread, coroutine_on_a_loop]
every_way = pytest.mark.parametrize("way", WAYS)


def is_free(thread: Thread) -> bool:
    """Wait until a thread can do other work; an error that ended it fails the test that has caused it."""
    until = monotonic() + LONG
    while thread.is_alive() and thread.name != "guardgraph-idle" and monotonic() < until:
        sleep(0.001)
    return thread.is_alive()


def raising(error: BaseException) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


async def abandoned(work: Coroutine[Any, Any, Any], cancelled: bool) -> None:
    """Wait for work until it has timed out, or until the waiting is cancelled."""
    waiting = asyncio.create_task(wait_abandoning(work, timeout=None if cancelled else SHORT))
    await asyncio.sleep(SHORT)
    if cancelled:
        waiting.cancel()
    with pytest.raises(asyncio.CancelledError if cancelled else TimedOut):
        await waiting


class SwallowsCancellation:
    """Work that goes on when it is cancelled; `ended` tells that it was ended all the same."""

    def __init__(self) -> None:
        self.swallowed, self.ended = Event(), Event()

    async def work(self) -> None:
        try:
            while True:
                try:
                    await asyncio.sleep(LONG)
                except asyncio.CancelledError:
                    self.swallowed.set()
        finally:
            self.ended.set()


@every_way
def test_the_value_of_the_work_comes_back(way: Any) -> None:
    assert way(lambda: 42) == 42
    assert way(lambda: 42, None) == 42


@every_way
@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("mine"), KeyError("k")])
def test_the_error_of_the_work_comes_back_as_it_is(way: Any, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        way(raising(error))

    assert (type(raised.value), raised.value.args) == (type(error), error.args)


@every_way
@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(3), StopIteration("empty"), GeneratorExit()])
def test_what_would_end_more_than_the_work_is_an_ordinary_error(way: Any, error: BaseException) -> None:
    with pytest.raises(RuntimeError, match=rf" raised {type(error).__name__}"):
        way(raising(error))

    assert way(lambda: "still working") == "still working", "a loop that is shared goes on"


@pytest.mark.parametrize("way", [sync_on_a_thread, sync_on_a_loop])
def test_a_future_that_was_cancelled_inside_sync_work_does_not_cancel_who_waits(way: Any) -> None:
    def work() -> None:
        future = Future[None]()
        future.cancel()
        future.result()

    with pytest.raises(RuntimeError, match="the work raised CancelledError"):
        way(work)


def test_a_coroutine_that_cancels_itself_does_not_cancel_who_waits() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(LONG)

    async def caller() -> str:
        with pytest.raises(RuntimeError, match="the work raised CancelledError"):
            await wait_abandoning(work(), timeout=LONG)
        return "goes on"

    assert asyncio.run(caller()) == "goes on"
    with pytest.raises(RuntimeError, match="the work raised CancelledError"):
        run_coroutine_blocking(work(), timeout=LONG)


@every_way
def test_the_work_sees_the_context_of_its_caller_and_cannot_change_it(way: Any) -> None:
    def work() -> str:
        seen = MARK.get()
        MARK.set("changed by the work")
        return seen

    token = MARK.set("of the caller")
    try:
        assert way(work) == "of the caller"
        assert MARK.get() == "of the caller"
    finally:
        MARK.reset(token)


def test_a_coroutine_works_in_the_context_that_it_is_given() -> None:
    context = copy_context()
    context.run(MARK.set, "given")

    assert run_coroutine_blocking(_as_coroutine(MARK.get), timeout=LONG, context=context) == "given"
    assert asyncio.run(wait_abandoning(_as_coroutine(MARK.get), timeout=LONG, context=context)) == "given"
    assert MARK.get() == "unset"


@every_way
def test_sync_and_async_work_runs_on_no_thread_that_keeps_the_process_alive(way: Any) -> None:
    thread = way(threading.current_thread)

    assert thread.daemon or way is coroutine_on_a_loop
    assert (thread is threading.current_thread()) is (way is coroutine_on_a_loop), "async work keeps its caller's loop"


def test_coroutines_of_sync_callers_share_one_loop() -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert run_coroutine_blocking(loop(), timeout=None) is run_coroutine_blocking(loop(), timeout=None)


def test_a_thread_that_is_free_does_the_next_work() -> None:
    threads = list[Thread]()
    for _ in range(20):
        threads.append(run_in_thread(threading.current_thread, timeout=LONG))
        is_free(threads[-1])

    assert len(set(threads)) == 1
    assert all(thread.daemon for thread in threads)


@pytest.mark.parametrize("way", [sync_on_a_thread, sync_on_a_loop])
@pytest.mark.parametrize("outcome", ["a value", ValueError("late")])
def test_sync_work_that_takes_too_long_is_abandoned_and_may_end_later(way: Any, outcome: Any) -> None:
    go, worked = Event(), list[Thread]()

    def work() -> str:
        worked.append(threading.current_thread())
        go.wait(LONG)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(TimedOut):
        way(work, SHORT)
    go.set()  # by now the loop that waited is closed

    assert is_free(worked[0])


@pytest.mark.parametrize("outcome", ["a value", ValueError("late")])
async def test_sync_work_whose_waiter_was_cancelled_may_end_later(outcome: Any) -> None:
    go, begun, worked = Event(), Event(), list[Thread]()

    def work() -> str:
        worked.append(threading.current_thread())
        begun.set()
        go.wait(LONG)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    waiting = asyncio.create_task(arun_in_thread(work, timeout=LONG))
    await asyncio.to_thread(begun.wait, LONG)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()

    assert await asyncio.to_thread(is_free, worked[0])


async def test_waiting_for_sync_work_does_not_block_the_loop() -> None:
    go = Event()

    async def lets_it_go() -> None:
        go.set()

    other = asyncio.create_task(lets_it_go())

    assert await arun_in_thread(lambda: go.wait(LONG), timeout=LONG)
    await other


async def test_async_work_that_takes_too_long_or_whose_waiter_is_cancelled_is_cancelled() -> None:
    cancelled: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    with pytest.raises(TimedOut):
        await wait_abandoning(work("late"), timeout=SHORT)
    waiting = asyncio.create_task(wait_abandoning(work("unwanted"), timeout=None))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.01)

    assert cancelled == ["late", "unwanted"]


async def test_async_work_may_clean_up_when_it_is_cancelled() -> None:
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()

    with pytest.raises(TimedOut):
        await wait_abandoning(work(), timeout=SHORT)

    await asyncio.wait_for(cleaned.wait(), LONG)


@pytest.mark.parametrize("cancelled", [False, True], ids=["timed out", "its waiter was cancelled"])
def test_an_error_of_abandoned_work_is_not_logged(cancelled: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            raise LookupError("while it was cancelled")

    asyncio.run(abandoned(work(), cancelled))
    gc.collect()

    assert not caplog.records, "no task exception was left unretrieved"


@pytest.mark.parametrize("cancelled", [False, True], ids=["timed out", "its waiter was cancelled"])
def test_a_loop_can_be_closed_when_work_swallowed_its_cancellation(
    cancelled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hung = SwallowsCancellation()

    asyncio.run(abandoned(hung.work(), cancelled))  # cancels the work once more, and waits for its end

    assert hung.swallowed.is_set()
    assert hung.ended.is_set()
    assert not caplog.records


def test_work_of_a_sync_caller_that_swallowed_its_cancellation_is_ended() -> None:
    hung = SwallowsCancellation()

    with pytest.raises(TimedOut):
        run_coroutine_blocking(hung.work(), timeout=SHORT)

    assert hung.swallowed.wait(LONG)
    assert hung.ended.wait(LONG)


def loops() -> list[Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "guardgraph-loop"]


def test_a_coroutine_that_blocks_its_loop_holds_no_other_up() -> None:
    free, blocked = Event(), Event()

    def block() -> None:
        blocked.set()
        free.wait(LONG)

    blocker = Thread(target=lambda: coroutine_on_a_thread(block))
    blocker.start()
    blocked.wait(LONG)

    assert [coroutine_on_a_thread(lambda: "free", 1.0) for _ in range(3)] == ["free"] * 3
    assert blocker.is_alive()
    assert len(loops()) >= 2
    free.set()
    blocker.join(LONG)
    until = monotonic() + LONG
    while len(loops()) > 1 and monotonic() < until:
        sleep(0.01)
    assert len(loops()) == 1, "the blocked one is closed when it is free"


async def test_work_gets_what_it_awaits_and_the_errors_of_that() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("inner")

    async def work() -> list[Any]:
        found: list[Any] = [await asyncio.sleep(0, "slept"), *await asyncio.gather(_as_coroutine(lambda: "gathered"))]
        try:
            await asyncio.create_task(fails())
        except LookupError as error:
            found.append(str(error))
        try:
            await asyncio.wait_for(asyncio.sleep(LONG), SHORT)
        except TimeoutError:
            found.append("timed out")
        return found

    assert await wait_abandoning(work(), timeout=LONG) == ["slept", "gathered", "inner", "timed out"]
