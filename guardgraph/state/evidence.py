"""What a claim or an answer is based on."""

from __future__ import annotations

from pydantic import Field

from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Evidence",)


class Evidence(FrozenModel):
    """What a claim is based on: a verbatim quote and its location."""

    source: str = Field(min_length=1, max_length=4_096)
    """The name of the source, such as a file."""
    quote: str = Field(min_length=1, max_length=100_000)
    """The text of the source, verbatim."""
    locator: str = Field(default="", max_length=1_000)
    """Where in the source: lines as `12` or `12-14`, or any other mark."""
