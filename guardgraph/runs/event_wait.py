"""How a run waits for events: what its interrupt holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ("event_that_ends", "events_read", "types_accepted")


def events_read(value: object) -> int | None:
    """Return the number of the last published event that a waiting team has read; `None` for any other interrupt."""
    given = _event_wait(value)
    read = given.get("published")
    return read if isinstance(read, int) else None


def event_that_ends(value: object) -> dict[str, str] | None:
    """Return an event with which a team that waits for events ends; `None` for any other interrupt."""
    types = _event_wait(value).get("waits_for")
    return {"type": str(types[0])} if types else None


def types_accepted(value: object) -> list[str] | None:
    """Return the types of events that a waiting team accepts; `None` for any other interrupt."""
    types = _event_wait(value).get("accepts")
    return [str(one) for one in cast("list[object]", types)] if isinstance(types, list) else None


def _event_wait(value: object) -> Mapping[str, Any]:
    given = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    return given if isinstance(given.get("waits_for"), list) and "published" in given else {}
