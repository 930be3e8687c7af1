"""How a run ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, JsonValue

from guardgraph.state.attempt import Gap
from guardgraph.state.evidence import Evidence
from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.text import one_line
from guardgraph.state.usage import Usage

__all__ = ("Outcome", "OutcomeStatus")

OutcomeStatus = Literal["completed", "degraded", "escalated", "refused", "cancelled", "failed"]


class Outcome(FrozenModel):
    """The end of a run that is not waiting: the best result there is, what is missing, and what stopped it."""

    status: OutcomeStatus
    """`completed`; `degraded` (a value with gaps or a stop); `escalated`, `refused`, `cancelled` or `failed`."""
    value: JsonValue = None
    """The answer, as JSON data."""
    evidence: tuple[Evidence, ...] = ()
    """What the answer rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the team is, from 0 to 1; `None` if unknown."""
    reasoning: str = ""
    """Why it is the answer, in the words of the agent that wrote it; empty where the accepted results are the value."""
    gaps: tuple[Gap, ...] = ()
    """What is missing, and why."""
    stopped_by: str | None = None
    """The guard that ended the run early, or else that of the first gap that is due to a guard; an external gap, as an
    event from outside that was refused, has stopped nothing."""
    reason: str = ""
    """What stopped it, in one sentence; empty where nothing did."""
    dissent: tuple[JsonValue, ...] = ()
    """Answers of those who did not agree."""
    trusted: bool = False
    """The integrity label of the value; see `Result.trusted`."""
    usage: Usage = Usage()
    """What the run cost, over all attempts and resumes."""

    def __str__(self) -> str:
        """Describe it in a few lines: the status, the value, what is missing and why; the data is in the fields."""
        by = f", stopped by {self.stopped_by}" if self.stopped_by else ""
        value = "no value" if self.value is None else f"value: {one_line(self.value)}"
        stopped = [f"stopped: {one_line(self.reason)}"] if self.reason else []
        return "\n".join([f"{self.status}{by}", value, *stopped, *_missing(self.gaps)])


def _missing(gaps: Sequence[Gap]) -> list[str]:
    """Return one line per reason, at most three; what is missing in a nested team is named by its way."""
    by_reason: dict[str, list[str]] = {}
    for gap in gaps:
        by_reason.setdefault(gap.reason, []).append("/".join((*gap.path, gap.subtask)))
    lines = [f"missing: {_listed(names)}: {one_line(reason)}" for reason, names in list(by_reason.items())[:3]]
    rest = sum(map(len, list(by_reason.values())[3:]))
    return [*lines, f"missing: {rest} more"] if rest else lines


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
