"""The log of the events of a thread: a list of texts, each an event or what has become of one.

A list of texts is stored by what is appended to it. So that adding to a long log costs no more than to a short one, its
older lines are in pages: a page is one text, a JSON array of `PAGE` lines.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic_core import from_json

from guardgraph.state.delivery import Delivery, Subscribed
from guardgraph.state.domain_event import Event

__all__ = ("LogEntry", "append_lines", "deliveries_of", "entries_in", "events_of", "has_log", "line_of", "parked_in")

LogEntry: TypeAlias = "Event | Delivery | Subscribed"
"""What a line of a log holds."""
_PAGE = 256
"""How many lines a page has."""
_LOG = "event_log"


def append_lines(left: Sequence[str] | None, right: Sequence[str] | None) -> list[str]:
    """Append lines to a log; of more than two pages of lines the older ones become a page."""
    log = [*(left or ()), *(right or ())]
    pages = bisect_left(log, True, key=lambda line: not line.startswith("["))
    while len(log) - pages > 2 * _PAGE:
        log[pages : pages + _PAGE] = [f"[{','.join(log[pages : pages + _PAGE])}]"]
        pages += 1
    return log


def line_of(entry: LogEntry) -> str:
    """Return the line of the log for an entry."""
    return entry.model_dump_json(exclude_defaults=True)


def entries_in(log: Sequence[str]) -> Iterator[LogEntry]:
    """Yield what the lines and pages of a log hold, oldest first."""
    for text in log:
        found: Any = from_json(text)
        for fields in found if isinstance(found, list) else [found]:
            yield _entry(fields)


def events_of(state: Mapping[str, Any]) -> list[Event]:
    """Return the events of a thread by the state of a reactive team, in the order in which they came to it."""
    return [one for one in entries_in(state.get(_LOG) or ()) if isinstance(one, Event)]


def deliveries_of(state: Mapping[str, Any]) -> list[Delivery]:
    """Return what has become of the events of a thread at each subscriber, oldest first."""
    return [one for one in entries_in(state.get(_LOG) or ()) if isinstance(one, Delivery)]


def parked_in(state: Mapping[str, Any]) -> list[Delivery]:
    """Return the deliveries of a thread that are parked now, in the order in which they were; each is named once."""
    latest: dict[tuple[str, str], Delivery] = {}
    for one in deliveries_of(state) if has_log(state) else ():
        latest.pop((one.event, one.subscriber), None)
        latest[one.event, one.subscriber] = one
    return [one for one in latest.values() if one.status == "parked"]


def has_log(state: Mapping[str, Any]) -> bool:
    """Return whether a state is that of a reactive team, and no other one that has a channel of the same name."""
    return isinstance(state.get("published"), int) and isinstance(state.get(_LOG), list)


def _entry(fields: dict[str, Any]) -> LogEntry:
    if "subscribers" in fields:
        return Subscribed.model_validate(fields)
    return (Delivery if "subscriber" in fields else Event).model_validate(fields)
