"""What happens while a run goes on."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field, JsonValue

from guardgraph.state.frozen_model import FrozenModel

__all__ = ("EventKind", "RunEvent", "StoredEvent")

EventKind = Literal[
    "run_started",
    "agent_started",
    "agent_finished",
    "model_called",
    "verdict",
    "compensating",
    "routed",
    "board_written",
    "agent_waiting",
    "model_downgraded",
    "run_waiting",
    "run_finished",
]


class RunEvent(FrozenModel):
    """One thing that happened; callbacks receive it as it happens."""

    kind: EventKind
    """What kind of thing."""
    run_id: str
    """The run of the outermost team."""
    at: AwareDatetime
    """When."""
    path: tuple[str, ...] = ()
    """The teams above and the agent."""
    data: dict[str, JsonValue] = Field(default_factory=dict)
    """Facts, by kind: the goal, the status, tokens, the verdict."""

    def __str__(self) -> str:
        """Describe it in one line."""
        facts: dict[str, Any] = {key: value for key, value in self.data.items() if value not in (None, "", 0)}
        text = " ".join(f"{key}={value}" for key, value in facts.items())
        return " ".join(f"{self.kind} {'/'.join(self.path)} {text}".split())


class StoredEvent(RunEvent):
    """An event in the log of its run."""

    number: int = Field(ge=1)
    """Its position in the log, counted from 1 without gaps."""
