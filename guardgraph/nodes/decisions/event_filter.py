"""What the predicate of a subscription decides of an event."""

from __future__ import annotations

from collections.abc import Callable

from guardgraph.runtime.concurrency import isolation
from guardgraph.state import Event, error_text, unshared_copy

__all__ = ("decision_of",)

_PATIENCE = 5.0
"""Seconds that a predicate may take."""


def decision_of(matches: Callable[[Event], bool], event: Event) -> tuple[bool, str]:
    """Return what a predicate decides of an event, and what is wrong with it."""
    given = unshared_copy(event)  # what it changes reaches no agent
    try:
        found: object = isolation.run_in_thread(lambda: matches(given), timeout=_PATIENCE)
    except isolation.TimedOut:
        return False, f"the predicate gave no answer within {_PATIENCE:g} s"
    except (Exception, SystemExit) as error:
        return False, f"the predicate raised {error_text(error)}"
    if not isinstance(found, bool):
        return False, f"the predicate returned {type(found).__name__}, not a bool"
    return found, ""
