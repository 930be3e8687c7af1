"""The events that a model has emitted by its tool, as they are found in its messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.messages import ToolMessage

from guardgraph.state import Event

__all__ = ("EMIT_EVENT", "emitted_events")

EMIT_EVENT = "emit_event"
"""The name of the tool."""


def emitted_events(messages: Iterable[Any]) -> tuple[Event, ...]:
    """Return the events that a model has emitted by the tool, in their order."""
    found = (one for one in messages if isinstance(one, ToolMessage) and one.name == EMIT_EVENT)
    return tuple(Event.model_validate(one.artifact) for one in found if one.artifact and one.status == "success")
