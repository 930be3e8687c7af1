"""What a run says of itself."""

from __future__ import annotations

from decimal import Decimal

import pytest

from guardgraph.runs import PendingInterrupt, Run
from guardgraph.state import Gap, Outcome, OutcomeStatus, Result, Usage

COST = Usage(input_tokens=1_000, output_tokens=200, usd=Decimal("0.0210"), calls=3, microseconds=1_250_000)
GOOD, BAD = Result(id="w/a#1", agent="w", value="x"), Result(id="w/b#1", agent="w", status="failed")


def run_of(outcome: Outcome, **more: object) -> Run:
    usage = outcome.usage
    return Run("mine", "r", "vendors", outcome.status, outcome, usage=usage, **more)  # type: ignore[arg-type]


def gaps(*pairs: tuple[str, str]) -> tuple[Gap, ...]:
    return tuple(Gap(subtask=name, reason=reason) for name, reason in pairs)


def test_a_completed_run_shows_its_cost_and_its_value() -> None:
    run = run_of(Outcome(status="completed", value="all\n  is well", usage=COST), results=(GOOD, BAD))

    assert str(run).splitlines() == [
        "completed · vendors · thread mine",
        "1,200 tokens in 3 model calls, $0.021, 1.2 s; 1 of 2 attempts gave a result",
        "value: all is well",
    ]


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        (Usage(), "no model calls, 0.0 s"),
        (Usage(input_tokens=5, calls=1, usd=None), "5 tokens in 1 model call, price unknown, 0.0 s"),
        (Usage(input_tokens=5, calls=2, usd=Decimal(300)), "5 tokens in 2 model calls, $300, 0.0 s"),
    ],
)
def test_the_cost_is_shown_as_far_as_it_is_known(usage: Usage, message: str) -> None:
    assert str(run_of(Outcome(status="completed", value=1, usage=usage))).splitlines()[1] == message


def test_a_degraded_run_lists_what_is_missing_once_for_each_reason() -> None:
    missing = (
        *gaps(("s1", "no money"), ("s2", "no time"), ("s3", "no money"), ("s4", "no money"), ("s5", "no money")),
        Gap(subtask="s6", reason="no money", path=("low:a",)),
        Gap(subtask="s7", reason="no way", path=("low:a", "leaf:b")),
        *gaps(("s8", "a"), ("s9", "b")),
    )
    run = run_of(Outcome(status="degraded", value="half", gaps=missing, stopped_by="Budget"))

    first, _, *rest = str(run).splitlines()
    assert first == "degraded, stopped by Budget · vendors · thread mine"
    assert rest == [
        "value: half",
        "missing: s1, s3, s4 and 2 more: no money",
        "missing: s2: no time",
        "missing: low:a/leaf:b/s7: no way",
        "missing: 2 more",
    ]


@pytest.mark.parametrize("status", ["failed", "refused", "escalated"])
def test_a_run_without_a_value_shows_why_it_was_stopped(status: OutcomeStatus) -> None:
    run = run_of(Outcome(status=status, stopped_by="never", reason="never on a Sunday"))

    assert str(run).splitlines() == [
        f"{status}, stopped by never · vendors · thread mine",
        "no model calls, 0.0 s",
        "no value",
        "stopped: never on a Sunday",
    ]


def test_a_waiting_run_shows_each_question_and_its_id() -> None:
    given = (PendingInterrupt("id-1", {"pay": "2.00"}), PendingInterrupt("id-2", "x" * 200))
    run = Run("mine", "r", "vendors", "waiting", usage=COST, results=(GOOD,), waiting=given)

    assert str(run).splitlines() == [
        "waiting · vendors · thread mine",
        "1,200 tokens in 3 model calls, $0.021; 1 of 1 attempt gave a result",
        "waits for an answer to id-1: {'pay': '2.00'}",
        f"waits for an answer to id-2: {'x' * 159}…",
    ]


def test_a_run_that_has_not_ended_shows_no_more_than_is_known() -> None:
    assert str(Run("mine", "r", "vendors", "running")) == "running · vendors · thread mine\nno model calls"


def test_a_channel_of_the_users_own_that_is_named_as_the_log_is_no_log() -> None:
    run = run_of(Outcome(status="completed", value=1), state={"event_log": [{"any": "thing"}]})

    assert (run.parked, "parked" in str(run)) == ((), False)
