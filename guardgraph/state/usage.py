"""What is spent, counted exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import wraps
from typing import ParamSpec, TypeVar

from pydantic import Field

from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Amount", "Usage", "add_usd", "exact_decimal")

_EXACT = Context(prec=120)
"""The usual 28 digits would round, and sums would depend on their order."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


def exact_decimal(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make `function` calculate with 120 digits: sums of US dollars with 60 decimal places are exact."""

    @wraps(function)
    def exact(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with localcontext(_EXACT):
            return function(*args, **kwargs)

    return exact


def add_usd(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    """Return the exact sum of two amounts of US dollars; one that is unknown (`None`) leaves the sum unknown."""
    if first is None or second is None:
        return None
    return _EXACT.add(first, second) if first and second else first or second


@dataclass(frozen=True, slots=True)
class Amount:
    """What is to be spent, or was: a vector of everything that is counted."""

    tokens: int = 0
    usd: Decimal | None = Decimal(0)
    """US dollars; `None` is an unknown price."""
    calls: int = 0
    subtasks: int = 0
    messages: int = 0

    def __add__(self, other: Amount) -> Amount:
        """Return the sum; unknown money stays unknown."""
        return Amount(
            tokens=self.tokens + other.tokens,
            usd=add_usd(self.usd, other.usd),
            calls=self.calls + other.calls,
            subtasks=self.subtasks + other.subtasks,
            messages=self.messages + other.messages,
        )

    def __neg__(self) -> Amount:
        """Return what takes this off a sum; unknown money stays unknown."""
        usd = self.usd.copy_negate() if self.usd else self.usd
        return Amount(-self.tokens, usd, -self.calls, -self.subtasks, -self.messages)


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
        if not (self.model_fields_set and other.model_fields_set):  # one of them is `Usage()`
            return self if self.model_fields_set else other
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
