"""The events of a thread and what has caused them, as Mermaid text."""

from __future__ import annotations

from collections.abc import Sequence

from guardgraph.state import Event

__all__ = ("causes_as_mermaid",)


def causes_as_mermaid(events: Sequence[Event]) -> str:
    """Return a flowchart of events: an arrow leads from each to those that it has caused; see `events_of`."""
    places = {event.ref: f"e{number}" for number, event in enumerate(events)}
    lines = [f'    {places[event.ref]}["{_label(event)}"]' for event in events]
    causes = [event for event in events if event.caused_by in places]
    lines += [f"    {places[str(event.caused_by)]} --> {places[event.ref]}" for event in causes]
    return "\n".join(["graph LR", *lines])


def _label(event: Event) -> str:
    text = " · ".join(filter(None, (event.type, event.source, event.subject)))
    shown = "".join(char if char.isprintable() else " " for char in text)[:120]
    return shown.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
