"""Merging an update into the state of a run that was updated before, at the same checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.channels import BinaryOperatorAggregate, DeltaChannel, Topic
from langgraph.checkpoint.base import WRITES_IDX_MAP, CheckpointTuple
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite

from guardgraph.state import BadInput
from guardgraph.storage.sql.checkpoints.rewriting import rewrite

__all__ = ("NOBODY", "merge_update")

NOBODY = str(UUID(int=0))
"""The id under which LangGraph stores what a caller's `Command` writes, since no task has written it."""
_ACCUMULATING = (BinaryOperatorAggregate, DeltaChannel, Topic)


def merge_update(
    graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge values into earlier updates of the latest checkpoint of a thread, and return what is yet to be written.

    LangGraph applies all updates of a checkpoint in one step, in which a plain channel takes one value only, and a
    reducer ignores what comes after an `Overwrite`. So the latest value of a plain channel is stored in place of those
    before it, and what is added to an `Overwrite` is put into it.

    Raises:
        BadInput: a reducer raises on a value.
    """
    saver: Any = graph.checkpointer  # a `SQLSaver`, which knows the classes of the graph
    config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    head: CheckpointTuple | None = saver.get_tuple(config)
    if head is None:
        return dict(values)
    writes = [(name, value) for task, name, value in head.pending_writes or () if task == NOBODY]
    earlier = [write for write in writes if write[0] not in WRITES_IDX_MAP]
    stored, beside = earlier, dict[str, Any]()
    for name, value in values.items():
        before = [older for written, older in earlier if written == name]
        instead = _instead(graph.channels[name], head, name, before, value)
        if instead:
            stored = [*(write for write in stored if write[0] != name), (name, instead[0])]
        else:
            beside[name] = value
    if stored is not earlier:
        rewrite(saver, head.config, stored, NOBODY)
    return beside


def _instead(channel: Any, head: CheckpointTuple, name: str, before: Sequence[Any], value: Any) -> tuple[Any, ...]:
    """Return what takes the place of earlier updates of a channel; nothing where the new one stands beside them."""
    if not isinstance(channel, _ACCUMULATING):
        return (value,) if before else ()
    if not isinstance(channel, BinaryOperatorAggregate):
        return ()
    kept: Mapping[str, Any] = head.checkpoint["channel_values"]
    live: Any = channel.from_checkpoint(kept[name]) if name in kept else channel.copy()
    try:
        for one in (*before, value):
            live.update([one])
    except Exception as error:
        raise BadInput(f"{name!r} cannot be updated with {value!r}: its reducer raised {error!r}") from error
    return (Overwrite(live.get()),) if any(isinstance(one, Overwrite) for one in before) else ()
