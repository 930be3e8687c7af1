"""Contestants measured in turn, round after round, so that a busy machine meets them all alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

__all__ = ("Comparison", "Contestant", "Figures", "compete")

Figures: TypeAlias = dict[str, dict[str, list[float]]]
"""What was measured: by contestant and quantity, one figure a round."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who can be measured again and again."""

    name: str
    measure: Callable[[], Mapping[str, float]]
    """Does the work once and returns its figures by quantity, with the unit in the name: `CPU ms`."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity of ours against the same of a peer."""

    ours: str
    peer: str
    quantity: str
    at_most: float | None = None
    """The goal; `None` where there is none."""
    by: Literal["ratio", "difference"] = "ratio"
    """Ours divided by the peer's, or less the peer's; round by round."""

    def of(self, figures: Figures) -> list[float]:
        """Return the comparison of each round."""
        pairs = zip(figures[self.ours][self.quantity], figures[self.peer][self.quantity], strict=True)
        return [ours / peer if self.by == "ratio" else ours - peer for ours, peer in pairs]

    def is_met(self, figures: Figures) -> bool | None:
        """Tell whether the median of the rounds is within the goal; `None` where there is none."""
        return None if self.at_most is None else median(self.of(figures)) <= self.at_most


def compete(contestants: Sequence[Contestant], *, rounds: int) -> Figures:
    """Measure every contestant once a round; each is measured once before that, and that figure is thrown away."""
    for contestant in contestants:
        contestant.measure()
    figures: Figures = {contestant.name: {} for contestant in contestants}
    for number in range(rounds):
        for contestant in contestants if number % 2 == 0 else reversed(contestants):
            gc.collect()
            for quantity, figure in contestant.measure().items():
                figures[contestant.name].setdefault(quantity, []).append(figure)
    return figures
