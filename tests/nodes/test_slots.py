from __future__ import annotations

import asyncio
from threading import Thread

from guardgraph.nodes import Slots, Ticket


def test_no_more_than_the_limit_hold_a_slot() -> None:
    slots = Slots(2)

    assert [slots.take(0), slots.take(0), slots.take(0)] == [True, True, False]
    slots.give()
    assert slots.take(0)


def test_without_a_limit_everybody_has_one() -> None:
    assert all(Slots(None).take(0) for _ in range(100))


async def test_threads_and_event_loops_share_the_same_slots() -> None:
    slots = Slots(1)
    assert slots.take(0)
    waiting = asyncio.create_task(slots.atake(5))
    await asyncio.sleep(0)

    Thread(target=slots.give).start()

    assert await waiting
    assert not slots.take(0)


async def test_a_cancelled_wait_loses_no_slot() -> None:
    slots = Slots(1)
    slots.take(0)
    waiting = asyncio.create_task(slots.atake())
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    slots.give()

    assert slots.take(0)


def test_an_agent_lends_its_slot_to_a_team_below_and_gets_it_back() -> None:
    slots = Slots(1)
    above = Ticket((slots,))
    assert above.take(0)

    below = Ticket((slots,), above)
    assert below.take(0)
    below.give()

    assert not slots.take(0), "the agent above holds it again"
    above.give()
    assert slots.take(0)


def test_a_slot_is_given_back_once_only() -> None:
    slots = Slots(1)
    ticket = Ticket((slots,))
    ticket.take(0)

    ticket.give()
    ticket.give()

    assert [slots.take(0), slots.take(0)] == [True, False]


def test_an_agent_that_pauses_lets_others_work_and_keeps_what_an_agent_above_has_lent() -> None:
    slots = Slots(1)
    above = Ticket((slots,))
    assert above.take(0)
    below = Ticket((slots,), above)
    assert below.take(0)

    below.pause()

    assert slots.take(0), "anybody may have it meanwhile"
    assert not slots.take(0)
    slots.give()
    assert below.take(0)
    below.give()
    assert not slots.take(0), "the agent above holds it again"
