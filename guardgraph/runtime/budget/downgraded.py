"""The step of a budget that an attempt has begun under."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ("Downgraded",)


class Downgraded(NamedTuple):
    """A cheaper model, and why it is used."""

    model: str
    """The name that the agent has for the model."""
    part: float
    """From which part of the budget on it is used."""
    used: float
    """Which part of it was spent when the attempt began."""

    @property
    def reason(self) -> str:
        """The reason in one sentence."""
        return f"{self.used:.0%} of the budget is spent, and from {self.part:.0%} on it uses this model"
