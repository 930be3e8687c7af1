"""No agent commits itself to more than it may."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from guardgraph.guards import Authority
from guardgraph.state import Message
from tests.guards.views import view_of_result

LIMITS = {"analyst": {"usd": 500, "days": 0.5}}


def judged(*commits: dict[str, Any], limits: Any = LIMITS, **facts: Any) -> Any:
    messages = tuple(Message(recipients=("b",), commits=one) for one in commits)
    return Authority(limits)(view_of_result(messages=messages, **facts))


@pytest.mark.parametrize(
    ("commits", "action"),
    [
        ([], "pass"),
        ([{}], "pass"),
        ([{"usd": 499}], "pass"),
        ([{"usd": 500}], "pass"),
        ([{"usd": Decimal("500.01")}], "trip"),
        ([{"usd": 300}, {"usd": 200}], "pass"),
        ([{"usd": 300}, {"usd": 201}], "trip"),
        ([{"days": "0.5"}], "pass"),
        ([{"days": "0.6"}], "trip"),
        ([{"staff": 1}], "trip"),
        ([{"staff": 0}], "pass"),
    ],
)
def test_below_at_and_above_a_limit(commits: list[dict[str, Any]], action: str) -> None:
    assert judged(*commits).action == action


def test_who_is_not_named_may_commit_to_nothing() -> None:
    assert judged({"usd": 1}, limits={"other": {"usd": 5}}).action == "trip"


def test_a_fallback_has_the_authority_of_its_agent() -> None:
    assert judged({"usd": 500}, limits={"chief": {"usd": 500}}, fallback_for="chief").action == "pass"


def test_the_reason_has_amount_and_limit() -> None:
    verdict = judged({"usd": 900})

    assert verdict.reason == "'analyst' commits to 900 usd; its authority is 500"
    assert (verdict.measured, verdict.limit) == ("900", "500")


def test_a_limit_of_nothing_is_a_limit() -> None:
    verdict = judged({"usd": 1}, limits={"analyst": {"usd": 0}})

    assert (verdict.action, verdict.limit) == ("trip", "0")


def test_the_authority_in_a_unit_that_is_not_named_is_nothing() -> None:
    verdict = judged({"staff": 1})

    assert (verdict.reason, verdict.limit) == ("'analyst' commits to 1 staff; its authority is 0", "0")
