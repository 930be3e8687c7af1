from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest

from guardgraph.runtime.concurrency.conditions import ChangeCondition

LONG = 60.0


def test_a_turn_is_done_at_the_next_change_and_not_before() -> None:
    notice = ChangeCondition()
    turn = notice.next_change()
    assert notice.next_change() is turn
    assert not turn.done()

    notice.notify_all()

    assert turn.done()
    assert not notice.next_change().done()


async def test_everybody_who_waits_is_woken_by_one_change() -> None:
    notice = ChangeCondition()
    turn = notice.next_change()
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(turn.wait, LONG) for _ in range(3)]
        on_the_loop = [asyncio.create_task(turn.await_(LONG)) for _ in range(3)]
        await asyncio.sleep(0)

        Thread(target=notice.notify_all).start()

        woken = await asyncio.gather(*on_the_loop, *map(asyncio.wrap_future, waiting))
    assert woken == [True] * 6


async def test_a_change_between_looking_and_waiting_is_not_missed() -> None:
    notice = ChangeCondition()
    turn = notice.next_change()
    notice.notify_all()

    assert turn.wait(0)
    assert await turn.await_(0)


async def test_waiting_ends_without_a_change_too() -> None:
    turn = ChangeCondition().next_change()

    assert not turn.wait(0.01)
    assert not await turn.await_(0.01)

    assert not turn.done()


async def test_who_waits_no_longer_is_kept_no_longer() -> None:
    turn, loop = ChangeCondition().next_change(), asyncio.get_running_loop()
    before = len(gc.get_referrers(loop))

    for _ in range(100):
        await turn.await_(0)

    assert len(gc.get_referrers(loop)) < before + 10


async def test_a_wait_that_is_cancelled_leaves_the_others_waiting() -> None:
    notice = ChangeCondition()
    turn = notice.next_change()
    waiting, other = (asyncio.create_task(turn.await_(LONG)) for _ in range(2))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not turn.done()
    notice.notify_all()

    assert await other


def test_a_change_after_a_loop_was_closed_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    notice = ChangeCondition()
    turn = notice.next_change()
    asyncio.run(turn.await_(0.01))

    notice.notify_all()

    assert not caplog.records


@pytest.mark.timeout(30)
@pytest.mark.parametrize("changes", [0, 1, 3])
async def test_looking_goes_on_until_what_is_seen_is_settled(changes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "guardgraph.runtime.concurrency.conditions._AT_MOST", LONG
    )  # a change that is missed is waited for
    notice, seen = ChangeCondition(), list[int]()

    async def alook() -> int:
        return look()

    def look() -> int:
        seen.append(len(seen))
        if len(seen) <= changes:
            notice.notify_all()  # a change while it looks
        return seen[-1]

    assert notice.wait_for(look, lambda number: number == changes) == changes
    assert seen == list(range(changes + 1))
    seen.clear()
    assert await notice.await_for(alook, lambda number: number == changes) == changes
    assert seen == list(range(changes + 1))


async def test_looking_again_waits_for_a_change() -> None:
    notice, there = ChangeCondition(), Event()

    async def look() -> bool:
        return there.is_set()

    async def changes() -> None:
        there.set()
        notice.notify_all()

    changing = asyncio.create_task(changes())

    assert await notice.await_for(look, bool)
    await changing
