from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest

from guardgraph.runtime.concurrency.limiter import ConcurrencyLimiter, SlotToken


def take(slots: ConcurrencyLimiter, timeout: float = 0) -> bool:
    return SlotToken((slots,)).take(timeout)


def test_no_more_than_the_limit_hold_a_slot() -> None:
    slots = ConcurrencyLimiter(2)

    assert [take(slots), take(slots), take(slots)] == [True, True, False]
    slots.give()
    assert take(slots)


def test_without_a_limit_everybody_has_one() -> None:
    assert all(take(ConcurrencyLimiter(None)) for _ in range(100))


async def test_threads_and_event_loops_share_the_same_slots() -> None:
    slots = ConcurrencyLimiter(1)
    assert take(slots)
    waiting = asyncio.create_task(SlotToken((slots,)).atake(5))
    await asyncio.sleep(0)

    Thread(target=slots.give).start()

    assert await waiting
    assert not take(slots)


async def test_a_cancelled_wait_loses_no_slot() -> None:
    slots = ConcurrencyLimiter(1)
    take(slots)
    waiting = asyncio.create_task(SlotToken((slots,)).atake())
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    slots.give()

    assert take(slots)


def test_who_cannot_have_all_slots_holds_none() -> None:
    inner, outer = ConcurrencyLimiter(1), ConcurrencyLimiter(1)
    assert take(outer)

    assert not SlotToken((inner, outer)).take(0)

    assert take(inner)
    outer.give()
    assert take(outer)


def test_an_agent_lends_its_slot_to_a_team_below_and_gets_it_back() -> None:
    slots = ConcurrencyLimiter(1)
    above = SlotToken((slots,))
    assert above.take(0)

    below = SlotToken((slots,), above)
    assert below.take(0)
    below.give()

    assert not take(slots), "the agent above holds it again"
    above.give()
    assert take(slots)


def test_a_slot_is_given_back_once_only() -> None:
    slots = ConcurrencyLimiter(1)
    slot_token = SlotToken((slots,))
    slot_token.take(0)

    slot_token.give()
    slot_token.give()

    assert [take(slots), take(slots)] == [True, False]


def test_an_agent_that_pauses_lets_others_work_and_keeps_what_an_agent_above_has_lent() -> None:
    slots = ConcurrencyLimiter(1)
    above = SlotToken((slots,))
    assert above.take(0)
    below = SlotToken((slots,), above)
    assert below.take(0)

    below.pause()

    assert take(slots), "anybody may have it meanwhile"
    assert not take(slots)
    slots.give()
    assert below.take(0)
    below.give()
    assert not take(slots), "the agent above holds it again"


@pytest.mark.parametrize("way", ["never had", "paused"])
@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_that_lent_its_slot_has_it_again_before_the_last_agent_below_ends(way: str, is_async: bool) -> None:
    slots = ConcurrencyLimiter(1)
    above = SlotToken((slots,))
    assert above.take(0)
    below = SlotToken((slots,), above)
    if way == "paused":
        assert below.take(0)
        below.pause()
        assert take(slots), "somebody else works"
    else:
        granted = slots.queue()  # somebody else was first
        assert granted is not None
        assert not below.take(0)
        assert granted.done()
    with ThreadPoolExecutor() as threads:
        ending = threads.submit(lambda: asyncio.run(below.agive()) if is_async else below.give())
        with pytest.raises(TimeoutError):
            ending.result(0.05)

        slots.give()

        ending.result(10)
    assert not take(slots), "the agent above holds it again"
    above.give()
    assert take(slots)


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_above_that_has_ended_is_not_waited_for(is_async: bool) -> None:
    slots = ConcurrencyLimiter(1)
    above = SlotToken((slots,))
    assert above.take(0)
    below = SlotToken((slots,), above)
    assert below.take(0)
    below.pause()
    assert take(slots)
    with ThreadPoolExecutor() as threads:
        ending = threads.submit(lambda: asyncio.run(below.agive()) if is_async else below.give())
        with pytest.raises(TimeoutError):
            ending.result(0.05)

        above.give()

        ending.result(10)
    assert not take(slots)
    slots.give()
    assert [take(slots), take(slots)] == [True, False]
