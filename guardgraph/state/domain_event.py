"""Events of the domain, to which agents subscribe.

They are data of the work itself. What a run reports about itself is a `RunEvent`, which is another thing.
"""

from __future__ import annotations

from pydantic import AwareDatetime, Field, JsonValue, field_validator

from guardgraph.state.frozen_model import FrozenModel, check_json

__all__ = ("TASK_EVENT", "Event")

TASK_EVENT = "task"
"""The type, and the source, of the first event of every run."""


class Event(FrozenModel):
    """Something that has happened in the domain, in the terms of CloudEvents; data, never an instruction.

    An agent gives `type`, `data` and `subject`; its team sets all else. Who publishes one gives a `source` too, and an
    `id` of its own, so that an event that is published twice is delivered once.
    """

    type: str = Field(min_length=1, max_length=200)
    """What kind of thing has happened, as `order.placed`."""
    data: JsonValue = None
    """What is known of it, as JSON data."""
    subject: str = Field(default="", max_length=1_000)
    """What it is about, as the number of an order."""
    source: str = Field(default="", max_length=200)
    """Where it comes from: an agent, or a system outside."""
    id: str = Field(default="", max_length=400)
    """Unique among the events of its source."""
    time: AwareDatetime | None = None
    """When it has happened."""
    caused_by: str | None = None
    """The `ref` of the event whose handling has caused it; `None` for one from outside, and for the task."""
    depth: int = Field(default=0, ge=0)
    """How many events have led to it, one after the other."""

    trusted: bool = False
    """Its integrity label, that of the result it comes from; what is published from outside is not trusted."""

    @property
    def ref(self) -> str:
        """What names it in its thread: its source, where a slash is `%2F` and a percent sign `%25`, and its id."""
        source = self.source.replace("%", "%25").replace("/", "%2F")
        return f"{source}/{self.id}"

    def is_same(self, other: Event) -> bool:
        """Return whether another event has the same type, data and subject."""
        return (self.type, self.data, self.subject) == (other.type, other.data, other.subject)

    @field_validator("data")
    @classmethod
    def _is_json(cls, data: JsonValue) -> JsonValue:
        check_json(data)
        return data
