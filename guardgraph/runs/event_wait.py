"""How a run waits for events: what its interrupt holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ("events_read",)


def events_read(value: object) -> int | None:
    """Return the number of the last published event that a waiting team has read; `None` for any other interrupt."""
    if not isinstance(value, Mapping):
        return None
    given = cast("Mapping[str, Any]", value)
    read = given.get("published")
    return read if "waits_for" in given and isinstance(read, int) else None
