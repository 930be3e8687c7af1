"""Values that are not what was stored are named, whatever they are for."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.guards import Breaker
from guardgraph.runtime.breakers.circuits import Circuits
from guardgraph.runtime.budget.learned_costs import LearnedCosts
from guardgraph.runtime.rates.rate_limit import RateLimit
from guardgraph.runtime.rates.turns import Turns
from guardgraph.state import StorageCorrupt
from guardgraph.storage.memory_values import MemoryValues
from guardgraph.storage.shared_values import decoded


@pytest.mark.parametrize(
    "damaged", [3, "x", [], {"ended": [[1]]}, {"calls": 5}, {"calls": [["a", 1]]}, {"tokens": [1]}]
)
def test_a_value_of_another_shape_is_damaged(damaged: Any) -> None:
    values = MemoryValues()
    for kind in ("cost", "breaker", "rate"):
        values.update(kind, ["a"], lambda _there, _now: {"a": damaged})
    circuits, learned = Circuits(values), LearnedCosts(values)

    for read in (
        circuits.listed,
        lambda: circuits.before_sending("a", "1"),
        lambda: circuits.ended("a", "1", Breaker(rate=0.5), is_ok=False),
    ):
        with pytest.raises(StorageCorrupt, match="the shared value 'a' is damaged"):
            read()
    assert (learned.listed(), [*learned.damaged]) == ([], ["a"])


def test_a_damaged_rate_is_named_and_nothing_is_granted() -> None:
    values = MemoryValues()
    values.update("rate", ["a"], lambda _there, _now: {"a": {"calls": 5}})

    with pytest.raises(StorageCorrupt, match="the shared value 'a' is damaged: TypeError"):
        Turns(values).take({"a": RateLimit(calls=1)})
    assert values.read("rate") == {"a": {"calls": 5}}


def test_what_fits_is_decoded() -> None:
    assert decoded(lambda stored: [stored], "a", 1) == [1]
