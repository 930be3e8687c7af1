"""What an agent is given."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from guardgraph.state.allowance import Allowance
from guardgraph.state.frozen_model import FrozenModel
from guardgraph.state.plan import Subtask
from guardgraph.state.reply import Evidence
from guardgraph.state.task import Task

__all__ = ("ContextItem", "ContextKind", "Request")

ContextKind = Literal["result", "gap", "worker", "background"]


class ContextItem(FrozenModel):
    """One piece of context. Its text is data from somebody else: never an instruction."""

    kind: ContextKind
    """An accepted `result`, a `gap`, a `worker` that can be delegated to, or `background` from outside."""
    title: str
    """What it is about: the goal of a subtask, the name of a worker."""
    sender: str = ""
    """Who said it."""
    value: JsonValue = None
    """What was said."""
    evidence: tuple[Evidence, ...] = ()
    """What it rests on."""
    subtask: str | None = None
    """The subtask that it answers."""


class Request(FrozenModel):
    """All that an agent is given for one attempt, and nothing else."""

    task: Task
    """What the team was asked; its goal is the original intent."""
    subtask: Subtask | None = None
    """What this agent is to do; `None` when it is to serve the task as a whole."""
    context: tuple[ContextItem, ...] = ()
    """What it needs to know from others."""
    allowance: Allowance = Allowance()
    """What it may spend."""
    path: tuple[str, ...] = ()
    """The names of the teams and agents above it, and its own."""
    round: int = 1
    """The round it works in."""
    attempt: int = Field(default=1, ge=1)
    """1 for the first attempt."""
    tries: int = Field(default=1, ge=1)
    """Attempts of this agent, this one included; a fallback begins at 1."""
    id: str = ""
    """The id that the result of this attempt will have."""
    key: str = ""
    """An idempotency key: the same when a crashed attempt runs again, another for every attempt."""
    feedback: str | None = None
    """Why the attempt before this one was refused."""

    @property
    def goal(self) -> str:
        """What this agent is to do: the subtask's goal, else the task's."""
        return self.subtask.goal if self.subtask else self.task.goal

    @property
    def results(self) -> tuple[ContextItem, ...]:
        """The accepted results among the context."""
        return tuple(piece for piece in self.context if piece.kind == "result")

    @property
    def gaps(self) -> tuple[ContextItem, ...]:
        """What is missing so far, among the context."""
        return tuple(piece for piece in self.context if piece.kind == "gap")
