"""Running an agent's work apart, so that a hung one neither blocks its team nor keeps the process alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextvars import copy_context
from functools import cache
from threading import Thread
from typing import Any

__all__ = ("TimedOut", "aawait", "arun", "run", "run_coroutine")


class TimedOut(Exception):
    """The work took longer than it may; it was left behind."""


def run(work: Callable[[], Any], *, timeout: float | None) -> Any:
    """Do sync `work` in a daemon thread and wait for it, at most `timeout` seconds."""
    return _wait(_start(work), timeout)


async def arun(work: Callable[[], Any], *, timeout: float | None) -> Any:
    """Do sync `work` in a daemon thread without blocking the event loop."""
    return await aawait(_wrapped(_start(work)), timeout=timeout)


def run_coroutine(work: Coroutine[Any, Any, Any], *, timeout: float | None) -> Any:
    """Do async `work` for a sync caller, on one event loop that all such callers share in a daemon thread."""
    loop, context = _shared_loop(), copy_context()
    done: Future[Any] = Future()
    tasks: list[asyncio.Task[Any]] = []

    def begin() -> None:
        task = loop.create_task(work, context=context)
        tasks.append(task)
        task.add_done_callback(lambda task: _copy(task, done))

    loop.call_soon_threadsafe(begin)
    try:
        return _wait(done, timeout)
    except TimedOut:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks])
        raise


async def aawait(work: Coroutine[Any, Any, Any], *, timeout: float | None) -> Any:
    """Do async `work` and wait at most `timeout` seconds, even when it does not let itself be cancelled."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        finished, _ = await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not finished:
        task.cancel()
        task.add_done_callback(_forget)
        raise TimedOut
    return task.result()


def _start(work: Callable[[], Any]) -> Future[Any]:
    done: Future[Any] = Future()
    context = copy_context()
    done.set_running_or_notify_cancel()  # it cannot be cancelled: a thread has no way to be

    def body() -> None:
        try:
            result = context.run(work)
        except BaseException as error:  # handed to the one who waits
            done.set_exception(error)
        else:
            done.set_result(result)

    Thread(target=body, daemon=True, name="guardgraph-agent").start()
    return done


def _wait(done: Future[Any], timeout: float | None) -> Any:
    try:
        return done.result(timeout)
    except FutureTimeout:
        if done.done():  # the work itself raised a TimeoutError
            raise
        raise TimedOut from None


async def _wrapped(done: Future[Any]) -> Any:
    return await asyncio.wrap_future(done)


def _copy(task: asyncio.Task[Any], done: Future[Any]) -> None:
    if task.cancelled():
        done.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


@cache
def _shared_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True, name="guardgraph-loop").start()
    return loop
