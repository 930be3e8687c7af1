"""Worker threads for coroutines."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from guardgraph.storage.sql.checkpoints.lanes import Lanes


def workers() -> int:
    return sum(thread.name.startswith("guardgraph-sql") for thread in threading.enumerate())


async def test_calls_of_one_key_are_made_one_after_the_other_in_order() -> None:
    lanes, made = Lanes(), list[int]()

    def call(number: int) -> int:
        time.sleep(0.001 * (10 - number))
        made.append(number)
        return number

    found = await asyncio.gather(*(lanes.run("key", lambda number=number: call(number)) for number in range(10)))

    assert found == made == list(range(10))
    lanes.close()


async def test_an_exception_reaches_the_one_who_waits_and_the_lane_goes_on() -> None:
    lanes = Lanes(1)

    with pytest.raises(ZeroDivisionError, match="modulo by zero"):
        await lanes.run("key", lambda: 1 // 0)

    assert await lanes.run("key", lambda: 2) == 2
    lanes.close()


async def test_a_call_that_was_accepted_is_made_after_its_waiter_was_cancelled() -> None:
    lanes, made = Lanes(1), list[str]()
    slow = asyncio.ensure_future(lanes.run("key", lambda: time.sleep(0.05)))
    queued = asyncio.ensure_future(lanes.run("key", lambda: made.append("queued")))
    await asyncio.sleep(0.01)

    slow.cancel()
    queued.cancel()
    await lanes.run("key", lambda: made.append("last"))

    assert made == ["queued", "last"]
    lanes.close()


async def test_a_brief_call_is_made_at_once_but_after_those_before_it_and_not_after_a_long_one() -> None:
    lanes, made, here = Lanes(1), list[str](), list[bool]()

    def call(name: str, seconds: float = 0.0) -> None:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass
        made.append(name)
        here.append(threading.current_thread() is threading.main_thread())

    await lanes.run_brief("key", lambda: call("first"))
    queued = asyncio.ensure_future(lanes.run("key", lambda: call("queued", 0.05)))
    await asyncio.sleep(0)
    await lanes.run_brief("other", lambda: call("of another key", 0.01))
    await lanes.run_brief("key", lambda: call("behind"))
    await lanes.run_brief("key", lambda: call("at once"))
    await lanes.run_brief("other", lambda: call("after a long one"))

    assert made == ["first", "of another key", "queued", "behind", "at once", "after a long one"]
    assert here == [True, True, False, False, True, False]
    await queued
    lanes.close()


async def test_drained_lanes_have_made_every_call_that_was_accepted() -> None:
    lanes, made = Lanes(3), list[int]()
    waiting = [asyncio.ensure_future(lanes.run(str(n), lambda n=n: made.append(n))) for n in range(30)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()

    await lanes.drain()

    assert sorted(made) == list(range(30))
    lanes.close()


async def test_closed_lanes_end_their_threads_and_can_be_used_again() -> None:
    before = workers()
    lanes = Lanes(2)
    await lanes.run("key", lambda: None)
    lanes.close()
    await ended(before)

    assert await lanes.run("key", lambda: 1) == 1
    lanes.close()
    await ended(before)


async def test_lanes_that_nobody_holds_end_their_threads() -> None:
    before = workers()
    lanes = Lanes(1)
    await lanes.run("key", lambda: None)

    del lanes
    gc.collect()

    await ended(before)


async def ended(count: int) -> None:
    until = time.monotonic() + 5
    while workers() > count and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert workers() <= count
