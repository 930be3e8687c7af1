"""Turns under rate limits, taken from a store that several runs share."""

from __future__ import annotations

import time
from collections.abc import Collection

import pytest

from guardgraph.agents import RateLimit
from guardgraph.runtime.rates.turns import Turns
from guardgraph.state import RateLimitExceeded
from guardgraph.storage.memory_values import MemoryValues
from guardgraph.storage.shared_values import Change, ValueKind

CALLS = {"openai": RateLimit(calls=2, per=10)}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def waits(turns: Turns, count: int, **options: float) -> list[float]:
    return [turns.take(CALLS, within=options.get("within")).wait for _ in range(count)]


def test_two_runs_share_what_their_store_knows() -> None:
    values = MemoryValues(Clock())

    assert waits(Turns(values), 2) == [0, 0]
    assert waits(Turns(values), 3) == [10, 10, 20]


@pytest.mark.parametrize(("within", "is_granted"), [(9.9, False), (10.0, True), (10.1, True)])
def test_a_turn_after_the_deadline_is_not_taken(within: float, is_granted: bool) -> None:
    turns = Turns(MemoryValues(Clock()))
    waits(turns, 2)

    if is_granted:
        assert waits(turns, 1, within=within) == [10]
        return
    with pytest.raises(
        RateLimitExceeded, match=r"'openai' \(2 calls per 10 s\) grants its next turn in 10.0 s, and"
    ) as e:
        waits(turns, 1, within=within)
    assert (e.value.name, e.value.wait, e.value.within) == ("openai", 10, within)
    assert waits(turns, 1) == [10], "the refused one has taken no turn"


def test_a_turn_that_is_given_back_is_free_again() -> None:
    clock = Clock()
    turns = Turns(MemoryValues(clock))
    taken = [turns.take(CALLS) for _ in range(2)]

    turns.give_back(taken[0])

    assert waits(turns, 2) == [0, 10]


def test_all_limits_of_a_call_hold_at_once() -> None:
    turns = Turns(MemoryValues(Clock()))
    both = {**CALLS, "agent writer": RateLimit(calls=1, per=30)}

    assert [turns.take(both).wait for _ in range(2)] == [0, 30]
    assert waits(turns, 1) == [30], "who comes later is not granted an earlier turn"


def test_tokens_are_corrected_by_what_a_call_reports() -> None:
    limits = {"openai": RateLimit(tokens=100, per=10)}
    turns = Turns(MemoryValues(Clock()))

    first = turns.take(limits, tokens=90)
    assert first.wait == 0
    turns.settle([first], 20)
    second = turns.take(limits, tokens=80)
    assert second.wait == 0
    turns.settle([second], 300)
    assert turns.take(limits, tokens=1).wait == 10


def test_models_are_found_by_provider_and_by_name() -> None:
    limit, other = RateLimit(calls=1), RateLimit(calls=2)
    turns = Turns(limits={"openai": limit, "openai:gpt-5": other, "other": other})

    assert turns.of_model("openai", "gpt-5") == {"openai": limit, "openai:gpt-5": other}
    assert turns.of_model("openai", None) == {"openai": limit}
    assert turns.of_model("offline", "gpt-5") == turns.of_model(None, None) == {}


def test_a_turn_is_stale_once_its_time_has_passed() -> None:
    clock = Clock()
    turns = Turns(MemoryValues(clock))

    assert not turns.take(CALLS).is_stale
    assert not turns.take({"x": RateLimit(calls=1, per=1_000)}).is_stale
    short = turns.take({"y": RateLimit(calls=1, per=0.001)})
    while not short.is_stale:
        pass
    assert short.rest == 0


class Locked(MemoryValues):
    """A store whose changes wait for a lock before, and for a commit after."""

    def update(self, kind: ValueKind, names: Collection[str], change: Change) -> None:
        time.sleep(0.1)
        super().update(kind, names, change)
        time.sleep(0.1)


def test_a_store_that_is_slow_makes_no_turn_early_or_late() -> None:
    turns = Turns(Locked())
    limits = {"openai": RateLimit(calls=1, per=0.5)}
    first, second = turns.take(limits), turns.take(limits)

    assert second.due - first.due == pytest.approx(0.5, abs=0.05)
