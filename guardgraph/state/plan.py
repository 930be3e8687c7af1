"""How a task is split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pydantic import Field, JsonValue, field_validator, model_validator

from guardgraph.state.word import Word

__all__ = ("Plan", "Subtask")


class Subtask(Word):
    """One piece of work that a planner delegates."""

    id: str = Field(min_length=1, max_length=100)
    """Its name, unique in the run."""
    goal: str = Field(min_length=1, max_length=200_000)
    """What is to be done."""
    depends_on: tuple[str, ...] = ()
    """Ids of subtasks whose accepted results it needs; it is sent after them."""
    priority: int = 0
    """The higher, the earlier it is sent, and the later it is cut when the allowance is short."""
    skill: str | None = None
    """The skill (or the name) of the worker it needs; `None` lets any worker do it."""
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """Named JSON data for the worker."""
    share: float | None = Field(default=None, gt=0, le=1)
    """At most this part (0 to 1) of what is left may go into it; `None` sets no cap of its own."""

    @field_validator("goal")
    @classmethod
    def _says_something(cls, goal: str) -> str:
        if not goal.strip():
            raise ValueError("the goal of a subtask is empty")
        return goal


class Plan(Word):
    """Subtasks for one round; an empty plan ends the rounds."""

    subtasks: tuple[Subtask, ...] = ()
    """What is to be done in this round."""
    reasoning: str = ""
    """Why it is split like this."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Plan:
        counts = Counter(subtask.id for subtask in self.subtasks)
        twice = sorted(id_ for id_, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"subtask ids must be unique, these stand twice: {', '.join(map(repr, twice))}")
        circle = _circle({subtask.id: subtask.depends_on for subtask in self.subtasks})
        if circle:
            raise ValueError(f"subtasks depend on each other in a circle: {' -> '.join(circle)}")
        return self


def _circle(needs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return one circle of dependencies, or an empty list."""
    done: set[str] = set()
    for start in needs:
        trail = {} if start in done else {start: iter(needs[start])}  # in order, each with what is left to follow
        while trail:
            last = next(reversed(trail))
            need = next(trail[last], None)
            if need is None:
                done.add(last)
                del trail[last]
            elif need in trail:
                way = list(trail)
                return [*way[way.index(need) :], need]
            elif need in needs and need not in done:
                trail[need] = iter(needs[need])
    return []
