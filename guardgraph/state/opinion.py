"""What a reviewer is asked about a result, and its opinion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import Field

from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Opinion", "ReviewRequest")


class Opinion(FrozenModel):
    """What a reviewer answers: whether the answer that it was given may be used."""

    approved: bool = Field(strict=True)
    """Whether it may."""
    reason: str = Field(default="", max_length=20_000)
    """Why not; the agent is given it, where it may try again."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the reviewer is, from 0 to 1; `None` if unknown."""

    @classmethod
    def of(cls, value: object) -> Opinion:
        """Return the opinion in what a reviewer has answered: `True`, `False`, or the fields of an `Opinion`.

        Other fields are not read. Raises `ValidationError` for anything else.
        """
        if isinstance(value, bool):
            return cls(approved=value)
        if not isinstance(value, Mapping):
            return cls.model_validate(value)
        given = cast("Mapping[str, Any]", value)
        return cls.model_validate({name: given[name] for name in cls.model_fields if name in given})


class ReviewRequest(FrozenModel):
    """What a reviewer is asked about one result."""

    id: str = Field(min_length=1)
    """Names the opinion: the same for the same reviewer, question and answer."""
    result: str
    """The id of the result."""
    agent: str
    """Who has answered it."""
    question: str = Field(min_length=1, max_length=20_000)
    """What is to be judged; the answer is approved where it holds."""
