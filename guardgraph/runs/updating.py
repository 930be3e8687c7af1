"""Changing the state of a run that waits, was stopped or has died."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_type_hints

from langgraph.channels import BaseChannel
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.graph.state import CompiledStateGraph
from pydantic import TypeAdapter, ValidationError

from guardgraph.state import BadInput, ContextItem, RunState, TeamInput

__all__ = ("asked_values", "is_stranded")

_OPEN = "context"
_GOTO = "branch:to:"
_SENDS = "__pregel_tasks"
_OWN = frozenset(get_type_hints(RunState)).union(get_type_hints(TeamInput)) - {_OPEN}


def asked_values(values: Mapping[str, Any], graph: CompiledStateGraph[Any, Any, Any, Any]) -> dict[str, Any]:
    """Return what is to be merged into the state of a graph, by channel.

    Raises:
        BadInput: there is nothing, a channel does not exist, or is guardgraph's own; or the context does not fit.
    """
    managed = {name for name, channel in graph.channels.items() if not isinstance(channel, BaseChannel)}
    known = sorted(name for name in graph.channels if not _is_internal(name) and name not in _OWN | managed)
    if not values:
        raise BadInput(f"nothing is to be updated; name a channel: {_listed(known)}")
    taken, counted = sorted(_OWN.intersection(values)), sorted(managed.intersection(values))
    unknown = sorted(set(values) - set(known) - _OWN - managed)
    if counted:
        raise BadInput(f"{_listed(counted)} cannot be updated: LangGraph computes it; what can be: {_listed(known)}")
    if taken:
        why = "guardgraph itself writes there, or it is read only as a run begins"
        raise BadInput(f"{_listed(taken)} cannot be updated: {why}; what can be: {_listed(known)}")
    if unknown:
        raise BadInput(f"the state has no {_listed(unknown)}; what can be updated: {_listed(known)}")
    found = dict(values)
    if _OPEN in found:
        found[_OPEN] = _context(found[_OPEN])
    return found


def is_stranded(head: CheckpointTuple) -> bool:
    """Tell whether `update_state` has left a run at this checkpoint without anything that comes next.

    It drops the tasks that wait, and runs only the writers of one node; a node that routes by `Command` has none that
    say where to go.
    """
    values: Mapping[str, Any] = head.checkpoint["channel_values"]
    routes = [name for name in values if name.startswith(_GOTO)]
    sends = [value for name, value in values.items() if name == _SENDS and value]
    pending = [name for _, name, _ in head.pending_writes or () if name == _SENDS or name.startswith(_GOTO)]
    comes_next = routes or sends or pending
    return head.metadata.get("source") == "update" and values.get("outcome") is None and not comes_next


def _context(given: Any) -> list[ContextItem]:
    try:
        return TypeAdapter(list[ContextItem]).validate_python(given)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'context'}: {one['msg']}" for one in error.errors())
        raise BadInput(f"`context` is a list of pieces, and does not fit: {told}") from error


def _is_internal(name: str) -> bool:
    return name.startswith("__") or ":" in name


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names)) or "nothing"
