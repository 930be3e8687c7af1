"""How a rate limit is declared."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import RateLimit
from guardgraph.state import BadGraph


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "give `calls` or `tokens`"),
        ({"calls": 0}, "`calls` must be at least 1, got 0"),
        ({"calls": -1}, "`calls` must be at least 1"),
        ({"tokens": 0}, "`tokens` must be at least 1"),
        ({"calls": 1.5}, "`calls` must be"),
        ({"calls": True}, "`calls` must be"),
        ({"calls": 1, "per": 0}, "`per` must be above 0"),
        ({"calls": 1, "per": float("nan")}, "`per` must be above 0"),
        ({"calls": 1, "per": float("inf")}, "`per` must be above 0 and at most"),
        ({"calls": 1, "per": "day"}, "`per` must be"),
    ],
)
def test_what_limits_nothing_or_is_no_limit_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        RateLimit(**given)


def test_it_describes_itself() -> None:
    assert str(RateLimit(calls=60, tokens=9_000)) == "60 calls and 9000 tokens per 60 s"
    assert str(RateLimit(calls=1, per=0.5)) == "1 calls per 0.5 s"
