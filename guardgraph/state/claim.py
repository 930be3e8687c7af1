"""Claims that can be compared: the value of an attribute of a subject."""

from __future__ import annotations

from pydantic import Field

from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Claim", "Claims")


class Claim(FrozenModel):
    """One fact in an answer, so that it can be compared with those of other agents.

    An agent answers a claim, a list of claims, or an object with a field `claims`.
    """

    subject: str = Field(min_length=1, max_length=1_000)
    """What it is about, such as `Northwind`."""
    attribute: str = Field(min_length=1, max_length=1_000)
    """Which property of it, such as `price per seat`."""
    value: bool | int | float | str
    """Its value: a text, a number with or without its unit (`12 USD`), or whether it holds."""
    several: bool = False
    """Whether the attribute may have several values; where all claims state so, different values do not contradict."""


class Claims(FrozenModel):
    """Several claims; the answer of a resolver that is a model."""

    claims: tuple[Claim, ...] = ()
    """The claims that hold."""
    reasoning: str = ""
    """Why."""
