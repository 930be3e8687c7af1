"""Changing the state of a run that waits, was stopped or has died."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, get_type_hints

from langgraph.channels import BaseChannel, BinaryOperatorAggregate, DeltaChannel, Topic
from langgraph.checkpoint.base import WRITES_IDX_MAP
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite
from pydantic import TypeAdapter, ValidationError

from guardgraph.runs.head import NO_TASK, Head, outermost
from guardgraph.state import BadInput, ContextItem, RunState, TeamInput, validation_text

__all__ = ("checked_values", "store_update")

_ACCUMULATING = (BinaryOperatorAggregate, DeltaChannel, Topic)
_OPEN = "context"
_OWN = frozenset(get_type_hints(RunState)).union(get_type_hints(TeamInput)) - {_OPEN}
"""The channels of guardgraph itself."""


def checked_values(values: Mapping[str, Any], graph: CompiledStateGraph[Any, Any, Any, Any]) -> dict[str, Any]:
    """Return what is to be merged into the state of a graph, by channel.

    Raises:
        BadInput: there is nothing, a channel does not exist, or is guardgraph's own; or the context does not fit.
    """
    managed = {name for name, channel in graph.channels.items() if not isinstance(channel, BaseChannel)}
    known = sorted(name for name in graph.channels if not _is_internal(name) and name not in _OWN | managed)
    if not values:
        raise BadInput(f"nothing is to be updated; name a channel: {_listed(known)}")
    for names, why in (
        (managed, "cannot be updated: LangGraph computes it"),
        (_OWN, "cannot be updated: guardgraph itself writes there, or it is read only as a run begins"),
        (values.keys() - {*known}, "cannot be updated: the state has no such channel"),
    ):
        refused = sorted(values.keys() & names)
        if refused:
            raise BadInput(f"{_listed(refused)} {why}; what can be: {_listed(known)}")
    return {name: _context(value) if name == _OPEN else value for name, value in values.items()}


def _context(given: Any) -> list[ContextItem]:
    try:
        return TypeAdapter(list[ContextItem]).validate_python(given)
    except ValidationError as error:
        faults = validation_text(error, whole="context")
        raise BadInput(f"`context` is a list of `ContextItem`, and does not fit: {faults}") from error


def _is_internal(name: str) -> bool:
    return name.startswith("__") or ":" in name


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"


def store_update(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str, values: Mapping[str, Any]) -> None:
    """Store values beside the latest checkpoint of a thread, merged into earlier updates of it, in one transaction.

    LangGraph applies all updates of a checkpoint in one step, in which a plain channel takes one value only, and a
    reducer ignores what comes after an `Overwrite`. So the latest value of a plain channel is stored in place of those
    before it, and what is added to an `Overwrite` is put into it.

    Raises:
        BadInput: a reducer raises on a value.
    """
    saver: Any = graph.checkpointer  # a `SQLSaver`, which knows the classes of the graph
    config = outermost(thread_id)
    head = Head(saver.get_tuple(config))
    earlier = [(name, value) for task, name, value in head.writes if task == NO_TASK and name not in WRITES_IDX_MAP]
    stored, new = earlier, dict[str, Any]()
    for name, value in values.items():
        before = [older for written, older in earlier if written == name]
        replacement = _replacement(graph.channels[name], head, name, before, value)
        if replacement:
            stored = [*(write for write in stored if write[0] != name), (name, replacement[0])]
        else:
            new[name] = value
    saver.replace_writes(head.checkpoint.config, {NO_TASK: [*stored, *new.items()]})


def _replacement(channel: Any, head: Head, name: str, before: Sequence[Any], value: Any) -> tuple[Any, ...]:
    """Return the value that replaces earlier updates of a channel; nothing where the new one is added to them."""
    if not isinstance(channel, _ACCUMULATING):
        return (value,) if before else ()
    if not isinstance(channel, BinaryOperatorAggregate):
        return ()
    kept = head.channels
    live: Any = channel.from_checkpoint(kept[name]) if name in kept else channel.copy()
    try:
        for one in (*before, value):
            live.update([one])
    except Exception as error:
        raise BadInput(f"{name!r} cannot be updated with {value!r}: its reducer raised {error!r}") from error
    return (Overwrite(live.get()),) if any(isinstance(one, Overwrite) for one in before) else ()
