"""A verdict is one guard's word at one gate."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import Verdict


def test_a_verdict_passes_unless_it_says_otherwise() -> None:
    assert Verdict(guard="Depth", gate="dispatch", subject="a").action == "pass"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"gate": "door"}, "Input should be 'admission', 'dispatch', 'handoff', 'round', 'exit', 'model' or 'tool'"),
        ({"action": "stop"}, "Input should be 'pass', 'alert' or 'trip'"),
        ({"measured": object()}, r"(?s)measured.*input was not a valid JSON value"),
        ({"guard": None}, r"guard\n  Input should be a valid string"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Verdict.model_validate({"guard": "Depth", "gate": "dispatch", "subject": "a", **fields})
