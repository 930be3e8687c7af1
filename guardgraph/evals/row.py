"""What became of one case."""

from __future__ import annotations

from pydantic import Field

from guardgraph.evals.case import Name
from guardgraph.evals.score import Score
from guardgraph.state import FrozenModel, Outcome

__all__ = ("CaseResult",)


class CaseResult(FrozenModel):
    """One finished case of a run, with its scores."""

    case: Name
    """The id of the case."""
    outcome: Outcome | None = None
    """How the graph's run ended; `None` if it raised."""
    error: str | None = None
    """What the graph raised, or what was wrong with what it returned."""
    scores: tuple[Score, ...] = ()
    """One for each metric that the case asks for."""
    seconds: float = Field(default=0, ge=0)
    """How long the graph took, by the clock on the wall."""

    @property
    def passed(self) -> bool:
        """Whether all of its scores passed."""
        return self.error is None and all(score.passed for score in self.scores)
