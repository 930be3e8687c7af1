"""What was spent."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from pydantic import Field

from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.money import add_usd

__all__ = ("Usage",)


class Usage(FrozenModel):
    """What was spent: a commutative monoid under `+` with `Usage()` as its zero.

    An unknown price (`usd=None`) stays unknown through every sum: it is never taken for zero.
    """

    input_tokens: int = Field(default=0, ge=0)
    """Tokens that models read."""
    output_tokens: int = Field(default=0, ge=0)
    """Tokens that models wrote."""
    usd: Decimal | None = Field(default=Decimal(0), ge=0, max_digits=90, decimal_places=60)
    """US dollars, at most 60 decimal places; `None` when any price in the sum is unknown."""
    calls: int = Field(default=0, ge=0)
    """Model calls."""
    microseconds: int = Field(default=0, ge=0)
    """Time spent working, added up over parallel work (an integer, so that sums are exact)."""

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    @property
    def seconds(self) -> float:
        """Time spent working, in seconds."""
        return self.microseconds / 1_000_000

    def __add__(self, other: Usage) -> Usage:
        """Return the sum; unknown money stays unknown."""
        return Usage.model_construct(
            self.model_fields_set | other.model_fields_set,  # a price that neither names stays unnamed
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            usd=add_usd(self.usd, other.usd),
            calls=self.calls + other.calls,
            microseconds=self.microseconds + other.microseconds,
        )

    @classmethod
    def total(cls, usages: Iterable[Usage]) -> Usage:
        """Return the sum of `usages`."""
        return sum(usages, cls())
