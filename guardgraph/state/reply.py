"""What an agent answers."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.plan import Subtask
from guardgraph.state.usage import Usage

__all__ = ("Evidence", "Reply")

_MOST, _DEAREST = 10**12, 10**6


class Evidence(FrozenModel):
    """What a claim rests on: a verbatim quote and where it stands."""

    source: str = Field(min_length=1, max_length=4_096)
    """The name of the source, such as a file."""
    quote: str = Field(min_length=1, max_length=100_000)
    """The words of the source, verbatim."""
    locator: str = Field(default="", max_length=1_000)
    """Where in the source: lines as `12` or `12-14`, or any other mark."""


class Reply(FrozenModel):
    """What an agent may answer instead of a bare value."""

    value: Any = None
    """The answer; it is stored as JSON data, so it must have a JSON form."""
    evidence: tuple[Evidence, ...] = ()
    """What the answer rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the agent is, from 0 to 1; `None` if it does not say."""
    reasoning: str = ""
    """Why it answers so."""
    subtasks: tuple[Subtask, ...] = ()
    """What it would delegate."""
    usage: Usage | None = None
    """What was spent for it past LangChain's models, as by another framework: it is added to what was metered.

    Where `usd` is not given, what it cost is unknown; `usd=0` says that it was free. Its time is not used.
    """

    @field_validator("usage")
    @classmethod
    def _is_possible(cls, usage: Usage | None) -> Usage | None:
        if usage is not None and (usage.tokens > _MOST or usage.calls > _MOST or (usage.usd or 0) > _DEAREST):
            raise ValueError(f"one answer takes at most {_MOST} tokens or calls and {_DEAREST} US dollars, got {usage}")
        return usage

    @property
    def spending(self) -> Usage | None:
        """What `usage` adds to the books: a price that is not given is unknown, unless nothing was used."""
        told = self.usage
        if told is None:
            return None
        is_priced = "usd" in told.model_fields_set or not (told.tokens or told.calls)
        return told.model_copy(update={"usd": told.usd if is_priced else None, "microseconds": 0})
