"""The log of the events of a thread: a list of texts, each an event or what has become of one.

A list of texts is stored by what is appended to it, and costs least where it is long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from guardgraph.state.domain_event import Delivery, Event

__all__ = ("deliveries_of", "entry_of", "events_of", "line_of")

_LOG = "event_log"


def line_of(entry: Event | Delivery) -> str:
    """Return the line of the log for an event, or for what has become of one."""
    return entry.model_dump_json(exclude_defaults=True)


def entry_of(line: str) -> Event | Delivery:
    """Return what a line of the log holds."""
    fields: dict[str, Any] = from_json(line)
    return (Delivery if "subscriber" in fields else Event).model_validate(fields)


def events_of(state: Mapping[str, Any]) -> list[Event]:
    """Return the events of a thread by the state of a reactive team, in the order in which they came to it."""
    return [one for one in _entries(state) if isinstance(one, Event)]


def deliveries_of(state: Mapping[str, Any]) -> list[Delivery]:
    """Return what has become of the events of a thread at each subscriber, oldest first."""
    return [one for one in _entries(state) if isinstance(one, Delivery)]


def _entries(state: Mapping[str, Any]) -> Iterable[Event | Delivery]:
    return map(entry_of, state.get(_LOG) or ())
