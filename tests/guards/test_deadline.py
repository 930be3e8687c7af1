"""The work ends at a moment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Deadline
from guardgraph.state import Allowance
from tests.guards.views import NOW, view_of_subtask, view_of_task

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(("now", "action"), [(NOW - TICK, "pass"), (NOW, "trip"), (NOW + TICK, "trip")])
def test_a_gate_reached_at_the_deadline_itself_is_reached_too_late(now: object, action: str) -> None:
    assert Deadline(5)(view_of_subtask(now=now, allowance=Allowance(deadline=NOW))).action == action


def test_says_when_it_was_and_when_it_is() -> None:
    verdict = Deadline(5)(view_of_subtask(now=NOW + TICK, allowance=Allowance(deadline=NOW)))

    assert verdict.reason == "the deadline 2030-01-01T12:00:00+00:00 has passed"
    assert verdict.measured == "2030-01-01T12:00:00.000001+00:00"
    assert verdict.limit == "2030-01-01T12:00:00+00:00"


def test_without_a_deadline_nothing_is_late() -> None:
    assert Deadline(5)(view_of_subtask()).action == "pass"


@given(st.floats(min_value=0.001, max_value=1_000_000_000))
def test_what_it_narrows_to_is_not_late_when_it_begins_and_late_when_it_is_over(seconds: float) -> None:
    allowance = Deadline(seconds).narrow(view_of_task())

    assert allowance.deadline is not None
    assert Deadline(seconds)(view_of_task(allowance=allowance)).action == "pass"
    assert Deadline(seconds)(view_of_task(allowance=allowance, now=allowance.deadline)).action == "trip"
