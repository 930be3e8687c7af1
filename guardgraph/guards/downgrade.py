"""A step on the way to the end of a budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from guardgraph.state import BadGraph

__all__ = ("Downgrade", "check_steps")


@dataclass(frozen=True, slots=True)
class Downgrade:
    """Let agents use a cheaper model: that of this name among their `Agent(models={…})`.

    An agent without the name, or that uses a cheaper one already, stays with its own. A call in flight goes on.
    """

    model: str

    def __post_init__(self) -> None:
        if not isinstance(cast("object", self.model), str) or not self.model.strip():
            raise BadGraph(f"`model` must be a name among the `models` of agents, got {self.model!r}")


def check_steps(steps: object) -> None:
    """Raise `BadGraph` for anything but a mapping of parts of a budget, above 0 and up to 1, to downgrades."""
    if not isinstance(steps, Mapping):
        raise BadGraph(f"`at` must map parts of the budget to steps, as {{0.8: Downgrade('cheap')}}, got {steps!r:.80}")
    for part, step in cast("Mapping[object, object]", steps).items():
        is_number = isinstance(part, int | float) and not isinstance(part, bool)
        if not is_number or not 0 < part <= 1:
            raise BadGraph(f"`at` names {part!r}: a part of the budget is above 0 and at most 1")
        if not isinstance(step, Downgrade):
            raise BadGraph(f"`at[{part!r}]` must be a Downgrade, got {step!r:.80}")
