"""How a run ended."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from guardgraph.state.reply import Evidence
from guardgraph.state.result import Gap
from guardgraph.state.usage import Usage
from guardgraph.state.word import Word

__all__ = ("Outcome", "OutcomeStatus")

OutcomeStatus = Literal["completed", "degraded", "escalated", "refused", "failed"]


class Outcome(Word):
    """The end of a run that is not waiting: the best result there is, what is missing, and what stopped it."""

    status: OutcomeStatus
    """`completed`; `degraded` (a value with gaps or a stop); `escalated`, `refused` or `failed`."""
    value: JsonValue = None
    """The answer, as JSON data."""
    evidence: tuple[Evidence, ...] = ()
    """What the answer rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the team is, from 0 to 1; `None` if nobody said."""
    gaps: tuple[Gap, ...] = ()
    """What is missing, and why."""
    stopped_by: str | None = None
    """The guard that ended the run early."""
    dissent: tuple[JsonValue, ...] = ()
    """Answers of those who did not agree."""
    usage: Usage = Usage()
    """What the run cost, over all attempts and resumes."""
