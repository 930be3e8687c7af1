"""The tool by which a model emits events."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, cast

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field, JsonValue, create_model

from guardgraph.agents.emitted_events import EMIT_EVENT
from guardgraph.state import Event

__all__ = ("emit_event_tool",)


def emit_event_tool(types: Collection[str]) -> BaseTool:
    """Return a tool `emit_event` for a model: it takes one of `types`, its data and its subject.

    What it emits is delivered once the answer of the agent is accepted. A `create_agent` of your own can have it too.
    """
    names: Any = cast("Any", Literal[tuple(sorted(types))])
    schema = create_model(
        "EmitEvent",
        type=(names, Field(description="what kind of thing has happened")),
        data=(JsonValue, Field(default=None, description="what is known of it, as JSON data")),
        subject=(str, Field(default="", description="what it is about, as the number of an order")),
    )

    def emit(type: str, data: JsonValue = None, subject: str = "") -> tuple[str, dict[str, Any]]:
        event = Event(type=type, data=data, subject=subject)
        return f"the event {type!r} is emitted once you have answered", event.model_dump(mode="json")

    return StructuredTool.from_function(
        emit,
        name=EMIT_EVENT,
        metadata={"trusted": True},
        description="Emit an event, so that the agents that subscribe to its type work on it.",
        args_schema=schema,
        response_format="content_and_artifact",
    )
