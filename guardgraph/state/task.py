"""What a run was asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, field_serializer, field_validator

from guardgraph.state.frozen_model import FrozenModel, new_id

__all__ = ("Category", "Stakes", "Task")

Stakes = Literal["low", "normal", "high"]
Category = Literal["financial", "safety", "personal", "irreversible"]


class Task(FrozenModel):
    """What a run was asked; it is never rewritten, and every agent sees its goal."""

    goal: str = Field(min_length=1, max_length=200_000)
    """The intent in the asker's own words (1 to 200,000 characters)."""
    id: str = Field(default_factory=new_id, min_length=1, max_length=200)
    """A name for this task; a random one if none is given."""
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """Named JSON data that belongs to the task."""
    stakes: Stakes = "normal"
    """How much depends on a right answer."""
    categories: frozenset[Category] = frozenset()
    """Kinds of consequence that a human may have to approve."""
    origin: str | None = Field(default=None, max_length=200_000)
    """The goal of the run's first team, where this task is a subtask of it; `None` at the top."""

    @field_validator("goal")
    @classmethod
    def _says_something(cls, goal: str) -> str:
        if not goal.strip():
            raise ValueError("the goal is empty; say what is to be done")
        return goal

    @field_serializer("categories", when_used="json")
    def _in_order(self, categories: frozenset[Category]) -> list[Category]:
        return sorted(categories)
