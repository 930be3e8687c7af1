"""The time by which a run's deadlines are judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from guardgraph.runs.clock import RunClock
from guardgraph.state import DelegationScope, Outcome, Usage

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("deadline", "later", "extended"),
    [(None, None, 0), (NOON, None, 0), (None, NOON, 0), (NOON, NOON, 0), (NOON, NOON + 3 * MINUTE, 3)],
)
def test_a_later_deadline_turns_the_clock_back_by_as_much(
    deadline: datetime | None, later: datetime | None, extended: int
) -> None:
    time = RunClock.of(2 * MINUTE, deadline, later)

    assert time.own(NOON) == NOON - (2 + extended) * MINUTE
    assert time.wall(time.own(NOON)) == NOON


@pytest.mark.parametrize(("extended", "minutes"), [(0, 99), (7, 8)])
def test_an_outcome_counts_the_time_of_work_where_the_clock_was_turned_back(extended: int, minutes: int) -> None:
    outcome = Outcome(status="completed", usage=Usage(calls=1, microseconds=99 * 60_000_000))
    position = DelegationScope(run_id="r", account="r", spending_account="r", started=NOON)

    timed = RunClock(2 * MINUTE, extended * MINUTE).timed(outcome, position, NOON + 10 * MINUTE)

    assert timed.usage == Usage(calls=1, microseconds=minutes * 60_000_000)


def test_an_outcome_of_a_run_without_a_position_stays_as_it_is() -> None:
    outcome = Outcome(status="failed")

    assert RunClock(MINUTE, MINUTE).timed(outcome, None, NOON) is outcome
