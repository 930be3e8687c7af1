"""What an agent answers."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from guardgraph.state.plan import Subtask
from guardgraph.state.word import Word

__all__ = ("Evidence", "Reply")


class Evidence(Word):
    """What a claim rests on: a verbatim quote and where it stands."""

    source: str = Field(min_length=1, max_length=4_096)
    """The name of the source, such as a file."""
    quote: str = Field(min_length=1, max_length=100_000)
    """The words of the source, verbatim."""
    locator: str = Field(default="", max_length=1_000)
    """Where in the source: lines as `12` or `12-14`, or any other mark."""


class Reply(Word):
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
