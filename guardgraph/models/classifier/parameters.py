"""What a text classifier has learned, and the checks of what a file holds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardgraph.models.classifier.features import numpy
from guardgraph.state import BadInput

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

__all__ = ("Parameters",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The numbers of a linear classifier over TF-IDF terms. Raises `BadInput` where they do not fit together."""

    labels: tuple[str, ...]
    """The workers, at least one."""
    vocabulary: tuple[str, ...]
    """The terms."""
    idf: NDArray[float32]
    """The inverse document frequency of each term; shape (terms,)."""
    weights: NDArray[float32]
    """The weight of each term for each worker; shape (terms, labels)."""
    intercepts: NDArray[float32]
    """Shape (labels,)."""
    slope: float
    """With `offset` makes a score of a decision value: 1 / (1 + exp(-(slope * value + offset)))."""
    offset: float

    def __post_init__(self) -> None:
        for name in ("labels", "vocabulary"):
            names = getattr(self, name)
            if not names or len(set(names)) != len(names):
                raise BadInput(f"`{name}` must be unique and not empty")
        terms, labels = len(self.vocabulary), len(self.labels)
        shapes = {"idf": (terms,), "weights": (terms, labels), "intercepts": (labels,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.dtype != numpy().float32 or array.shape != shape:
                is_there = f"{array.dtype} of shape {array.shape}"
                raise BadInput(
                    f"`{name}` must be float32 of shape {shape}, for {terms} terms and {labels} labels; got {is_there}"
                )
            if not numpy().isfinite(array).all():
                raise BadInput(f"`{name}` holds a number that is not finite")
        if not (math.isfinite(self.slope) and math.isfinite(self.offset)):
            raise BadInput(f"the calibration must be finite, got slope {self.slope!r} and offset {self.offset!r}")
