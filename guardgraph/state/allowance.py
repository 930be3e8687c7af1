"""What may still be spent."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Any

from pydantic import AwareDatetime, Field, ValidationInfo, field_validator

from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.usage import Amount, Usage

__all__ = ("COUNTS", "Allowance")

COUNTS = ("tokens", "usd", "calls", "subtasks", "messages")
"""The limits of an allowance that are used up by spending."""
_LIMITS = (*COUNTS, "depth", "deadline")
_DOWN = Context(prec=120, rounding=ROUND_FLOOR)  # what is left is never rounded up
_SMALLEST = Decimal("1E-60")


class Allowance(FrozenModel):
    """Limits that travel with each delegation and can only be narrowed; `None` is unlimited."""

    tokens: int | None = Field(default=None, ge=0)
    """Input and output tokens together."""
    usd: Decimal | None = Field(default=None, ge=0, max_digits=90, decimal_places=60)
    """US dollars, at most 60 decimal places."""
    calls: int | None = Field(default=None, ge=0)
    """Model calls."""
    subtasks: int | None = Field(default=None, ge=0)
    """Subtasks that may be delegated, over the whole tree."""
    messages: int | None = Field(default=None, ge=0)
    """Messages between agents."""
    depth: int | None = Field(default=None, ge=0)
    """The deepest level that may work; the first team is level 0, its workers level 1."""
    deadline: AwareDatetime | None = None
    """When work stops (UTC)."""

    @field_validator("tokens", "calls", "subtasks", "messages", "depth", "deadline", mode="before")
    @classmethod
    def _is_no_mistake(cls, given: Any, field: ValidationInfo) -> Any:
        """Refuse what pydantic would read as another thing: `True` as 1, and a number as a moment in 1970."""
        if isinstance(given, bool) or (field.field_name == "deadline" and isinstance(given, int | float)):
            wanted = "a datetime with a time zone" if field.field_name == "deadline" else "a whole number"
            raise ValueError(f"it must be {wanted}, got {given!r}")
        return given

    def narrow(self, other: Allowance) -> Allowance:
        """Return the tighter of both, field by field."""
        if other.is_unlimited:
            return self
        if self.is_unlimited:
            return other
        mine, limits = vars(self), vars(other).items()
        tighter = {
            name: limit for name, limit in limits if limit is not None and (mine[name] is None or limit < mine[name])
        }
        return self.model_copy(update=tighter) if tighter else self

    def widen(self, other: Allowance) -> Allowance:
        """Return the wider of both, field by field; `None` is the widest."""
        return Allowance.model_construct(**{name: _most(getattr(self, name), getattr(other, name)) for name in _LIMITS})

    def share(self, fraction: float) -> Allowance:
        """Return `fraction` (0 to 1) of everything that is counted, rounded down; depth and deadline stay.

        Raises:
            ValueError: `fraction` is below 0 or above 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"`fraction` must be between 0 and 1, got {fraction!r}")
        counts = {name: _part(getattr(self, name), Decimal(str(fraction))) for name in COUNTS}
        return self.model_copy(update=counts)

    def minus(self, spent: Usage | Amount) -> Allowance:
        """Return what is left after `spent`, never below zero; an unknown price leaves no money."""
        capped = ((name, cap) for name in COUNTS if (cap := getattr(self, name)) is not None)
        left = {name: _less(cap, getattr(spent, name, 0)) for name, cap in capped}
        return self.model_copy(update=left) if left else self

    def within(self, parent: Allowance) -> bool:
        """Return whether no field is wider than `parent`'s."""
        return all(_fits(getattr(self, name), getattr(parent, name)) for name in _LIMITS)

    @property
    def is_unlimited(self) -> bool:
        """Whether it limits nothing."""
        return {*vars(self).values()} == {None}

    @property
    def is_counted(self) -> bool:
        """Whether anything that is used up by spending is limited."""
        return self.is_metered or self.subtasks is not None or self.messages is not None

    @property
    def is_metered(self) -> bool:
        """Whether tokens, money or calls are limited at all."""
        return self.tokens is not None or self.usd is not None or self.calls is not None


def _most(first: Any, second: Any) -> Any:
    return None if first is None or second is None else max(first, second)


def _part(value: Any, part: Decimal) -> Any:
    if not isinstance(value, Decimal):
        return None if value is None else int(value * Fraction(part))
    product = _DOWN.multiply(value, part)
    return _DOWN.quantize(product, _SMALLEST) if int(product.as_tuple().exponent) < -60 else product


def _less(value: Any, spent: Any) -> Any:
    zero = type(value)(0)
    if spent is None:
        return zero
    return max(zero, _DOWN.subtract(value, spent) if isinstance(value, Decimal) else value - spent)


def _fits(child: Any, parent: Any) -> bool:
    return parent is None or (child is not None and child <= parent)
