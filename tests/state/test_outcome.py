"""An outcome names how a run ended."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from guardgraph.state import Gap, Outcome, OutcomeStatus, Usage


@pytest.mark.parametrize("status", get_args(OutcomeStatus))
def test_a_status_is_enough(status: OutcomeStatus) -> None:
    outcome = Outcome(status=status)

    assert outcome.value is None
    assert outcome.gaps == ()
    assert outcome.stopped_by is None
    assert outcome.usage == Usage()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, r"status\n  Field required"),
        (
            {"status": "done"},
            "Input should be 'completed', 'degraded', 'escalated', 'refused', 'cancelled' or 'failed'",
        ),
        ({"status": "failed", "confidence": -1}, r"confidence\n  Input should be greater than or equal to 0"),
        ({"status": "failed", "value": object()}, r"(?s)value.*input was not a valid JSON value"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Outcome.model_validate(fields)


def test_it_prints_what_a_person_wants_to_read() -> None:
    gaps = [Gap(subtask="a", reason="no money"), Gap(subtask="b", path=("low",), reason="no money")]
    gaps += [Gap(subtask=str(number), reason=f"reason {number}") for number in range(4)]

    outcome = Outcome(status="degraded", value="word " * 100, gaps=tuple(gaps), stopped_by="Budget")

    assert str(outcome).splitlines() == [
        "degraded, stopped by Budget",
        f"value: {'word ' * 31}word…",
        "missing: a, low/b: no money",
        "missing: 0: reason 0",
        "missing: 1: reason 1",
        "missing: 2 more",
    ]
    assert str(Outcome(status="completed")) == "completed\nno value"
