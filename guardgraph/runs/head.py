"""The latest checkpoint of a run's outermost team, read without the run's graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, TASKS
from langgraph.types import Interrupt, Overwrite, Send

from guardgraph.state import RunState

__all__ = ("NO_TASK", "Head", "outermost", "route_of")

NO_TASK = str(UUID(int=0))
"""The id under which LangGraph stores what a caller's `Command` writes, since no task has written it."""

_UNFINISHED = frozenset((ERROR, INTERRUPT, RESUME))
"""The channels to which a task that has not finished may have written."""
_GOTO = "branch:to:"


def route_of(channel: str, value: object) -> str | None:
    """Return the node to which a write leads; `None` for a write that is no route."""
    if channel == TASKS and isinstance(value, Send):
        return value.node
    return channel.removeprefix(_GOTO) if channel.startswith(_GOTO) else None


def outermost(thread_id: str) -> RunnableConfig:
    """Return the config of the outermost team of a thread."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint, with what tasks have written beside it since."""

    checkpoint: CheckpointTuple
    plain_types: tuple[str, ...] = ()
    """The classes that are not known here, so that their fields are given as dicts."""

    @property
    def id(self) -> str:
        """The id of the checkpoint."""
        return self.checkpoint.checkpoint["id"]

    @property
    def channels(self) -> Mapping[str, Any]:
        """The values of the channels in the checkpoint."""
        return self.checkpoint.checkpoint["channel_values"]

    @property
    def writes(self) -> Sequence[tuple[str, str, Any]]:
        """The writes beside the checkpoint: id of the task, channel, value."""
        return self.checkpoint.pending_writes or ()

    def sends(self) -> list[Send]:
        """Return what is sent next."""
        written = (value for _, channel, value in self.writes if channel == TASKS)
        return [send for send in (*(self.channels.get(TASKS) or ()), *written) if isinstance(send, Send)]

    def next_nodes(self) -> set[str]:
        """Return the nodes that come next, as far as that is known."""
        channels = (*self.channels, *(channel for _, channel, _ in self.writes))
        routes = {route_of(channel, None) for channel in channels}
        return {name for name in routes if name is not None} | {send.node for send in self.sends()}

    def is_stranded(self) -> bool:
        """Return whether LangGraph's `update_state` has left the run without anything that comes next.

        It drops the tasks that wait, and runs only the writers of one node, of which one that routes by `Command` has
        none.
        """
        is_update = self.checkpoint.metadata.get("source") == "update"
        return is_update and self.channels.get("outcome") is None and not self.next_nodes()

    def interrupts(self) -> list[Interrupt]:
        """Return the open interrupts, also those of nested teams."""
        finished = {task for task, channel, _ in self.writes if channel not in _UNFINISHED}
        return [
            interrupt
            for task, channel, interrupts in self.writes
            if channel == INTERRUPT and task not in finished
            for interrupt in interrupts
        ]

    def values(self) -> dict[str, Any]:
        """Return the values of the checkpoint, with what was written beside it to guardgraph's own channels.

        LangGraph's `get_state` does the same for all channels, but needs the graph. The writes of a task that ends the
        run are left out: the run has ended once the next checkpoint is stored.
        """
        values, reducers = dict(self.channels), _reducers()
        ending = {task for task, channel, value in self.writes if channel == "outcome" and value is not None}
        for task, channel, value in self.writes:
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
