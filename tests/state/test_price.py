"""What a declared price makes of tokens."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.state import BadGraph, Price

DEAR = Price(input="2", output="10", cache_read="0.5", cache_write="2.5", reasoning="20")


@pytest.mark.parametrize(
    ("price", "parts", "usd"),
    [
        (Price("2", "10"), {}, "0.003"),
        (Price(2, Decimal(10)), {"cache_read_tokens": 500, "output_reasoning_tokens": 50}, "0.003"),
        (DEAR, {}, "0.003"),
        (DEAR, {"cache_read_tokens": 400}, "0.0024"),
        (DEAR, {"cache_write_tokens": 400}, "0.0032"),
        (DEAR, {"cache_read_tokens": 400, "cache_write_tokens": 600}, "0.0027"),
        (DEAR, {"output_reasoning_tokens": 100}, "0.004"),
        (DEAR, {"cache_read_tokens": 1_001}, "0.003"),
        (DEAR, {"output_reasoning_tokens": 101}, "0.003"),
        (DEAR, {"cache_read_tokens": -1}, "0.003"),
        (Price(0, 0), {}, "0"),
    ],
)
def test_a_call_of_a_thousand_tokens_read_and_a_hundred_written(price: Price, parts: dict[str, int], usd: str) -> None:
    assert price.usd(1_000, 100, parts) == Decimal(usd)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.decimals(0, 1_000_000, places=20))
def test_it_is_exact(read: int, written: int, each: Decimal) -> None:
    price = Price(input=each, output=each)

    assert price.usd(read, written) * 1_000_000 == each * (read + written)
    assert price.usd(read, 0) + price.usd(0, written) == price.usd(read, written)


def test_only_what_costs_nothing_at_all_is_free() -> None:
    assert Price(0, "0.0").is_free
    assert not Price(0, 0, reasoning=1).is_free
    assert not DEAR.is_free


@pytest.mark.parametrize(("read", "written"), [(-1, 0), (0, -1)])
def test_a_negative_number_of_tokens_is_refused(read: int, written: int) -> None:
    with pytest.raises(ValueError, match="tokens must not be negative"):
        DEAR.usd(read, written)


@pytest.mark.parametrize("field", ["input", "output", "cache_read", "cache_write", "reasoning"])
@pytest.mark.parametrize(
    "wrong", [-1, "-0.1", "NaN", "Infinity", Decimal("NaN"), 0.5, True, "", "two", 1_000_001, "1e-21", [], object]
)
def test_what_is_no_amount_is_refused_by_name(field: str, wrong: Any) -> None:
    with pytest.raises(BadGraph, match=f"Price: `{field}` must "):
        Price(**{"input": 1, "output": 1, field: wrong})


@pytest.mark.parametrize("field", ["input", "output"])
def test_neither_input_nor_output_is_left_open(field: str) -> None:
    given: dict[str, Any] = {"input": 1, "output": 1, field: None}

    with pytest.raises(BadGraph, match=f"Price: `{field}` must be Decimal"):
        Price(**given)
