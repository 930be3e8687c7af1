"""What has finished beside what waits, was stopped or has died: it stands beside a checkpoint, and not in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from langgraph.types import Overwrite

from guardgraph.state import RunState

__all__ = ("finished_tasks", "values_of")

_UNFINISHED = frozenset((ERROR, INTERRUPT, RESUME))
"""The channels that a task which has not finished may have written."""
_END = "outcome"


def finished_tasks(writes: Sequence[tuple[str, str, Any]]) -> set[str]:
    """Return the ids of the tasks that have finished, by what all tasks have written."""
    return {task for task, channel, _ in writes if channel not in _UNFINISHED}


def values_of(head: CheckpointTuple) -> dict[str, Any]:
    """Return the values of a checkpoint, with what has been written beside it to guardgraph's own channels.

    LangGraph's `get_state` does the same for all channels, but needs the graph. What ends the run is left out: that it
    has ended is told once the checkpoint is stored.
    """
    values: dict[str, Any] = dict(head.checkpoint["channel_values"])
    writes, reducers = head.pending_writes or (), _reducers()
    ending = {task for task, channel, value in writes if channel == _END and value is not None}
    for task, channel, value in writes:
        if channel in reducers and task not in ending:
            reducer = reducers[channel]
            if isinstance(value, Overwrite):
                values[channel] = value.value
            else:
                values[channel] = value if reducer is None else reducer(values.get(channel), value)
    return values


@cache
def _reducers() -> Mapping[str, Callable[[Any, Any], Any] | None]:
    """Return the reducer of every channel that guardgraph itself writes; `None` where the latest value counts."""
    hints = get_type_hints(RunState, include_extras=True)
    return {name: next(filter(callable, getattr(hint, "__metadata__", ())), None) for name, hint in hints.items()}
