"""What a router has decided about one request, and why."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from guardgraph.state.attempt import Gap
from guardgraph.state.frozen_model import FrozenModel

__all__ = ("RoutingDecision", "RoutingRung")

RoutingRung = Literal["rule", "classifier", "model", "fallback"]


class RoutingDecision(FrozenModel):
    """Which worker gets a request, what decided it, and the features that drove the decision."""

    worker: str | None = None
    """The name of the worker that is sent the request; `None` where a rung abstains, or where nothing may be sent."""
    rung: RoutingRung
    """What decided it, or abstains: a `rule`, the `classifier`, the `model`; `fallback` where none of them could."""
    reason: str = ""
    """Why, in one sentence."""
    rule: str | None = None
    """The name of the rule that matched."""
    matched: str = ""
    """The text that the rule matched, cut to 200 characters."""
    terms: dict[str, float] = Field(default_factory=dict)
    """The terms that contributed most to the best score, with their weights, where the classifier names them."""
    scores: dict[str, float] = Field(default_factory=dict)
    """The highest 10 scores of the classifier (0 to 1) by worker, best first."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the rung is (0 to 1): the best score, or what the model reports; `None` if unknown."""
    problems: tuple[str, ...] = ()
    """What failed on the way: a rule or a classifier that raised, an answer that could not be used."""
    gaps: tuple[Gap, ...] = ()
    """What the worker that was tried before has left missing; these are gaps of the run if this worker fails too."""
    trusted: bool = False
    """The integrity label of the choice: whether trusted rules, scores or answers alone have made it."""
    run_id: str = ""
    """The run in which it was decided."""
