"""What a metric says of one outcome."""

from __future__ import annotations

from pydantic import Field

from guardgraph.evals.case import Name
from guardgraph.state import FrozenModel

__all__ = ("Score",)


class Score(FrozenModel):
    """One metric's word on one outcome."""

    metric: Name
    """The name of the metric."""
    value: float = Field(ge=0, le=1)
    """How good it is, from 0 to 1."""
    passed: bool
    """Whether that is good enough."""
    reason: str = ""
    """Why; empty where there is nothing to say."""
