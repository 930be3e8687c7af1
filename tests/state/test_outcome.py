"""An outcome names how a run ended."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from guardgraph.state import Outcome, OutcomeStatus, Usage


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
            "Input should be 'completed', 'degraded', 'escalated', 'refused' or 'failed'",
        ),
        ({"status": "failed", "confidence": -1}, r"confidence\n  Input should be greater than or equal to 0"),
        ({"status": "failed", "value": object()}, r"(?s)value.*input was not a valid JSON value"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Outcome.model_validate(fields)
