"""A reply carries its evidence, and both have bounds."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardgraph.state import Evidence, Reply


def test_an_empty_reply_is_a_reply() -> None:
    reply = Reply()

    assert reply.value is None
    assert reply.confidence is None
    assert reply.evidence == ()


def test_a_reply_takes_any_value() -> None:
    value = object()

    assert Reply(value=value).value is value


@pytest.mark.parametrize("confidence", [0, 0.5, 1])
def test_a_confidence_from_0_to_1_passes(confidence: float) -> None:
    assert Reply(confidence=confidence).confidence == confidence


@pytest.mark.parametrize(
    ("confidence", "problem"),
    [
        (-0.01, "greater than or equal to 0"),
        (1.01, "less than or equal to 1"),
        (float("nan"), "Input should be"),
    ],
)
def test_a_confidence_outside_is_refused(confidence: float, problem: str) -> None:
    with pytest.raises(ValidationError, match=rf"(?s)confidence.*{problem}"):
        Reply(confidence=confidence)


@pytest.mark.parametrize(("field", "longest"), [("source", 4_096), ("quote", 100_000), ("locator", 1_000)])
def test_evidence_has_bounds(field: str, longest: int) -> None:
    known: dict[str, Any] = {"source": "s", "quote": "q"}

    assert len(getattr(Evidence.model_validate({**known, field: "x" * longest}), field)) == longest
    with pytest.raises(ValidationError, match=rf"{field}\n  String should have at most {longest} characters"):
        Evidence.model_validate({**known, field: "x" * (longest + 1)})


@pytest.mark.parametrize("field", ["source", "quote"])
def test_evidence_without_a_source_or_a_quote_is_none(field: str) -> None:
    with pytest.raises(ValidationError, match=rf"{field}\n  String should have at least 1 character"):
        Evidence.model_validate({"source": "s", "quote": "q", field: ""})
