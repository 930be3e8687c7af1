from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest

from guardgraph.runtime.concurrency.conditions import ChangeCondition

LONG = 60.0


def test_a_turn_is_done_at_the_next_change_and_not_before() -> None:
    condition = ChangeCondition()
    change = condition.next_change()
    assert condition.next_change() is change
    assert not change.done()

    condition.notify_all()

    assert change.done()
    assert not condition.next_change().done()


async def test_everybody_who_waits_is_woken_by_one_change() -> None:
    condition = ChangeCondition()
    change = condition.next_change()
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(change.wait, LONG) for _ in range(3)]
        on_the_loop = [asyncio.create_task(change.await_(LONG)) for _ in range(3)]
        await asyncio.sleep(0)

        Thread(target=condition.notify_all).start()

        woken = await asyncio.gather(*on_the_loop, *map(asyncio.wrap_future, waiting))
    assert woken == [True] * 6


async def test_a_change_between_looking_and_waiting_is_not_missed() -> None:
    condition = ChangeCondition()
    change = condition.next_change()
    condition.notify_all()

    assert change.wait(0)
    assert await change.await_(0)


async def test_waiting_ends_without_a_change_too() -> None:
    change = ChangeCondition().next_change()

    assert not change.wait(0.01)
    assert not await change.await_(0.01)

    assert not change.done()


async def test_who_waits_no_longer_is_kept_no_longer() -> None:
    change, loop = ChangeCondition().next_change(), asyncio.get_running_loop()
    before = len(gc.get_referrers(loop))

    for _ in range(100):
        await change.await_(0)

    assert len(gc.get_referrers(loop)) < before + 10


async def test_a_wait_that_is_cancelled_leaves_the_others_waiting() -> None:
    condition = ChangeCondition()
    change = condition.next_change()
    waiting, other = (asyncio.create_task(change.await_(LONG)) for _ in range(2))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not change.done()
    condition.notify_all()

    assert await other


def test_a_change_after_a_loop_was_closed_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    condition = ChangeCondition()
    change = condition.next_change()
    asyncio.run(change.await_(0.01))

    condition.notify_all()

    assert not caplog.records


@pytest.mark.timeout(30)
@pytest.mark.parametrize("changes", [0, 1, 3])
async def test_looking_goes_on_until_what_is_seen_is_settled(changes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "guardgraph.runtime.concurrency.conditions._AT_MOST", LONG
    )  # a change that is missed is waited for
    condition, seen = ChangeCondition(), list[int]()

    async def alook() -> int:
        return look()

    def look() -> int:
        seen.append(len(seen))
        if len(seen) <= changes:
            condition.notify_all()  # a change while it looks
        return seen[-1]

    assert condition.wait_for(look, lambda number: number == changes) == changes
    assert seen == list(range(changes + 1))
    seen.clear()
    assert await condition.await_for(alook, lambda number: number == changes) == changes
    assert seen == list(range(changes + 1))


async def test_looking_again_waits_for_a_change() -> None:
    condition, there = ChangeCondition(), Event()

    async def look() -> bool:
        return there.is_set()

    async def changes() -> None:
        there.set()
        condition.notify_all()

    changing = asyncio.create_task(changes())

    assert await condition.await_for(look, bool)
    await changing


async def test_those_who_wait_are_woken_in_their_order() -> None:
    condition, woken = ChangeCondition(), list[int]()

    async def wait(number: int) -> None:
        await condition.next_change().await_(LONG)
        woken.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(50)]
    await asyncio.sleep(0)

    condition.notify_all()
    await asyncio.gather(*waiting)

    assert woken == [*range(50)]
