"""Publishing events to threads, and waking the runs that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any

from langgraph.types import StreamMode
from pydantic import ValidationError

from guardgraph.runs.attempts import Attempts
from guardgraph.runs.execution import RunExecution
from guardgraph.runs.named_graph import named_graph
from guardgraph.runs.run import Run
from guardgraph.runs.working import awork, work
from guardgraph.state import (
    TASK_EVENT,
    BadInput,
    Event,
    Task,
    ThreadBusy,
    events_of,
    new_id,
    parked_in,
    validation_text,
)
from guardgraph.storage.sql.published import Publication
from guardgraph.storage.sql.runs import RunRow

__all__ = ("Publishing", "awork_on", "parked_event", "work_on")

_SOURCE = "outside"
"""The source of an event for which none is given."""


class Publishing:
    """Publishes events for the threads of a runner. Every method blocks, and none runs anything itself."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts, self._records = attempts, attempts.records
        self._accepted: dict[str, tuple[frozenset[str], frozenset[str]] | None] = {}

    def publish(self, thread_id: str, event: Event | Mapping[str, Any]) -> Publication:
        """Store an event for a thread. Raises `BadInput` for one that its graph, if that is known here, refuses."""
        found = _checked(event)
        self._check_accepted(self._records.last(thread_id), found)
        return self._records.published.add(thread_id, found)

    def replay(self, thread_id: str, ref: str) -> Publication:
        """Store that a parked event is to be delivered again. Raises `BadInput` where there is no such event."""
        found = parked_event(thread_id, self._state(self._records.last(thread_id)), ref)
        again = Event(type=new_id(), source=found.source, id=found.id)
        return self._records.published.add(thread_id, again, replays=True)

    def threads(self) -> list[str]:
        """Return the threads to which something was published that their logs may not have, sorted."""
        return self._records.published.unread_threads()

    def note_read(self, run: Run) -> None:
        """Note what the log of a thread has, once this process has stopped working on it."""
        read = run.state.get("published")
        if isinstance(read, int) and read and "event_log" in run.state:
            self._records.published.note_read(run.thread_id, read)

    def woken(self, thread_id: str, *, begins: bool) -> RunExecution | None:
        """Prepare the run of a thread that has events to be delivered; `None` where nothing can be done here.

        A run that waits goes on. With `begins` a thread whose run has ended gets a new one, of the same task, which
        begins with these events. Where somebody works on the thread, these events are read there.
        """
        row, lease = self._records.now(thread_id)
        if lease != "released" or row.graph not in self._attempts.graphs:
            return None
        with suppress(ThreadBusy):
            prepared = self._prepared(row, begins=begins)
            return prepared if isinstance(prepared, RunExecution) else None
        return None

    def more(self, run: Run) -> RunExecution | None:
        """Prepare a run that has just begun to wait, where an event was published before its lease was given back."""
        if run.status != "waiting" or not self._records.has_undelivered(run):
            self.note_read(run)
            return None
        with suppress(ThreadBusy):
            prepared = self._attempts.resume(run.thread_id)
            return prepared if isinstance(prepared, RunExecution) else None
        return None

    def _prepared(self, row: RunRow, *, begins: bool) -> RunExecution | Run | None:
        if row.status is None:
            run = self._records.stored(row, self._records.head(row))
            return self._attempts.resume(row.thread_id) if self._records.has_undelivered(run) else None
        state = self._state(row)
        read, task = state.get("published"), state.get("admitted")
        if not begins or read is None or not isinstance(task, Task):
            return None
        if read >= self._records.published.last(row.thread_id):
            return None
        return self._attempts.begin(row.graph, task, thread_id=row.thread_id, arguments=row.arguments)

    def _state(self, row: RunRow) -> Mapping[str, Any]:
        head = self._records.head(row)
        return {} if head is None else head.values()

    def _check_accepted(self, row: RunRow, event: Event) -> None:
        if row.graph not in self._attempts.graphs:
            return
        key = f"{row.graph} {row.arguments!r}"
        if key not in self._accepted:
            spec = getattr(named_graph(row.graph, row.arguments, self._attempts.graphs)[1], "team", None)
            accepts = getattr(spec, "accepts", None)
            self._accepted[key] = None if accepts is None else (accepts, frozenset([*spec.agents, TASK_EVENT]))  # type: ignore[union-attr]
        known = self._accepted[key]
        if known is None:  # a team within may accept it
            return
        types, reserved = known
        if event.type not in types:
            listed = ", ".join(map(repr, sorted(types))) or "none"
            raise BadInput(f"graph {row.graph!r} accepts no events of type {event.type!r} from outside, but {listed}")
        if event.source in reserved:
            raise BadInput(f"{event.source!r} is a source of graph {row.graph!r} itself; give another `source`")


def parked_event(thread_id: str, state: Mapping[str, Any], ref: str) -> Event:
    """Return the parked event of this `ref` or id by the state of its thread. Raises `BadInput` if there is none."""
    parked = {one.event for one in parked_in(state)}
    found = [event for event in events_of(state) if ref in (event.ref, event.id)] if parked else []
    if len({event.ref for event in found}) != 1 or found[0].ref not in parked:
        known = ", ".join(sorted(parked)[:5]) or "none"
        raise BadInput(f"thread {thread_id!r} has no parked event {ref!r}; parked are: {known}")
    return found[0]


def work_on(
    publishing: Publishing,
    attempts: Attempts,
    attempt: RunExecution | Run,
    modes: Sequence[StreamMode] = (),
    *,
    provisional: bool = True,
) -> Iterator[Any]:
    """Do as `work`, and go on where an event was published while the run began to wait."""
    while True:
        run: Run | None = None
        for part in work(attempts, attempt, modes, provisional=provisional):
            if isinstance(part, Run):
                run = part
            else:
                yield part
        more = publishing.more(run) if run is not None and not isinstance(attempt, Run) else None
        if more is None:
            yield run
            return
        attempt = more


async def awork_on(
    publishing: Publishing,
    attempts: Attempts,
    attempt: RunExecution | Run,
    modes: Sequence[StreamMode] = (),
    *,
    provisional: bool = True,
) -> AsyncGenerator[Any]:
    """Do as `work_on` without blocking the event loop."""
    while True:
        run: Run | None = None
        async with aclosing(awork(attempts, attempt, modes, provisional=provisional)) as parts:
            async for part in parts:
                if isinstance(part, Run):
                    run = part
                else:
                    yield part
        is_new = run is not None and not isinstance(attempt, Run)
        more = await asyncio.to_thread(publishing.more, run) if run is not None and is_new else None
        if more is None:
            yield run
            return
        attempt = more


def _checked(given: object) -> Event:
    """Return an event with a source and an id; raise `BadInput` for anything else."""
    try:
        event = Event.model_validate({**vars(given)} if isinstance(given, Event) else given)
    except ValidationError as error:
        known = "type, data, subject, source, id, time"
        raise BadInput(f"an event is an Event or its fields ({known}): {validation_text(error)}") from error
    fresh = {"source": event.source or _SOURCE, "id": event.id or new_id(), "caused_by": None, "depth": 0}
    return event.model_copy(update=fresh)
