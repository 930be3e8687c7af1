"""What has become of the events of a thread at its subscribers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from guardgraph.state.attempt import Evidence, Gap
from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Delivery", "DeliveryStatus", "Subscribed")

DeliveryStatus = Literal["handled", "parked", "filtered", "replayed", "refused"]


class Delivery(FrozenModel):
    """What has become of one event at one subscriber; the latest entry counts."""

    event: str
    """The `ref` of the event."""
    subscriber: str
    """The agent that subscribes to it; empty for an event that the team has `refused`."""
    status: DeliveryStatus
    """`handled`; `parked` where its attempts are used up; `filtered` by its predicate; `replayed`: to be done again;
    `refused`: the team does not take the event."""
    result: str | None = None
    """The id of the result that has settled it."""
    error: str = ""
    """Why it is parked or refused."""
    gaps: tuple[Gap, ...] = ()
    """What is missing by it: why it is parked, and what a team that works as the subscriber could not deliver."""
    value: JsonValue = None
    """What the subscriber has answered, where the value of the run is made of that."""
    evidence: tuple[Evidence, ...] = ()
    """What this value rests on."""
    confidence: float | None = Field(default=None, ge=0, le=1)
    """How sure the subscriber is of it, from 0 to 1."""
    dissent: tuple[JsonValue, ...] = ()
    """Answers of those who did not agree, where the value is that of a panel."""


class Subscribed(FrozenModel):
    """Who subscribes to what from here on in a log: where a run begins, and where its graph was changed."""

    subscribers: dict[str, tuple[str, ...]]
    """The types of events of each subscriber, by its name."""
    task: str | None = None
    """The `ref` of the task of the run that begins here; `None` within a run."""
