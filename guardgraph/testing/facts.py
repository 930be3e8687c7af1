"""The part of an outcome that must be the same in every way of running."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from guardgraph.state import Outcome

__all__ = ("Facts", "differences", "facts_of")

_NUMBER = re.compile(r"\d+(\.\d+)?")
_ID = re.compile(r"\b[0-9a-f]{8,}(-[0-9a-f]{4,})*\b")


@dataclass(frozen=True, slots=True)
class Facts:
    """The compared part of an outcome: all but times, random ids, and numbers within reasons."""

    status: str
    value: Any
    gaps: tuple[tuple[str, ...], ...]
    """Path, subtask, agent, guard and reason of each gap, in order of these."""
    stopped_by: str | None
    evidence: tuple[Any, ...]
    confidence: float | None
    tokens: int
    calls: int
    usd: str


def facts_of(outcome: Any) -> Facts:
    """Return the compared part of an outcome. Raises `TypeError` for any other object."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"the outcome is not an `Outcome`, but {type(outcome).__name__}: {outcome!r:.200}")
    gaps = (
        ("/".join(gap.path), gap.subtask, gap.agent or "", gap.guard or "", _without_numbers(gap.reason))
        for gap in outcome.gaps
    )
    return Facts(
        status=outcome.status,
        value=outcome.value,
        gaps=tuple(sorted(gaps)),
        stopped_by=outcome.stopped_by,
        evidence=outcome.evidence,
        confidence=outcome.confidence,
        tokens=outcome.usage.tokens,
        calls=outcome.usage.calls,
        usd=str(outcome.usage.usd),
    )


def differences(expected: Facts, found: Facts) -> list[str]:
    """Describe each fact that is not as expected."""
    names: Mapping[str, Any] = Facts.__dataclass_fields__
    pairs = ((name, getattr(expected, name), getattr(found, name)) for name in names)
    return [f"{name} is {second!r}, not {first!r}" for name, first, second in pairs if first != second]


def _without_numbers(reason: str) -> str:
    """Return a reason without numbers and ids, which differ between runs."""
    return _NUMBER.sub("#", _ID.sub("#", reason))
