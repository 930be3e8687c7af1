"""The stored values of the channels that were added to a team's state, beside the channels of another version of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from langgraph.channels import BinaryOperatorAggregate, DeltaChannel, LastValue
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Overwrite
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from guardgraph.runs.graph_facts import OWN, kind_of, signature_of
from guardgraph.runs.head import NO_TASK, Head
from guardgraph.state import MigrationFailed

__all__ = ("added_values", "check_returned", "misfits", "written")

_Graph = CompiledStateGraph[Any, Any, Any, Any]


def added_values(head: Head, signatures: Mapping[str, str], graph: _Graph) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the channels with these `signatures`, as stored, and what of them cannot be had.

    What was written beside the checkpoint by `Runner.update` is in them. A channel that stores differences has no
    value without the graph that has stored it.
    """
    values, lost = {name: head.channels[name] for name in signatures if name in head.channels}, list[str]()
    for name, signature in signatures.items():
        updates = [value for task, channel, value in head.writes if task == NO_TASK and channel == name]
        kind, live = kind_of(signature), cast("Any", graph.channels.get(name))
        is_same = live is not None and kind_of(signature_of(live)) == kind
        if kind == "delta":
            values.pop(name, None)
            if not is_same and name in head.checkpoint.checkpoint["channel_versions"]:
                lost.append(f"channel {name!r} stores differences, which only {signature} can read; keep it")
        elif updates and kind == "last":
            values[name] = updates[-1]
        elif updates and is_same:
            values[name] = _reduced(live, values, name, updates)
        elif updates:
            lost.append(f"channel {name!r} was updated and has not taken that in; go on with the former graph once")
    return values, lost


def _reduced(channel: Any, values: Mapping[str, Any], name: str, updates: Collection[Any]) -> Any:
    live = channel.from_checkpoint(values[name]) if name in values else channel.copy()
    for update in updates:
        live.update([update])
    return live.get()


def misfits(before: Mapping[str, str], values: Mapping[str, Any], now: Mapping[str, str], graph: _Graph) -> list[str]:
    """Return which stored values do not fit the channels of a graph; `before` and `now` are their signatures."""
    found = list[str]()
    for name, value in values.items():
        signature = now.get(name)
        if signature == before[name] or _is_empty(value):
            continue
        if signature is None:
            found.append(f"channel {name!r} is gone, and holds a value of type {type(value).__name__}")
        elif kind_of(signature) != kind_of(before[name]):
            found.append(f"channel {name!r} was {before[name]}, and is {signature}")
        elif not _fits(graph.channels[name], value):
            found.append(f"channel {name!r} holds a value of type {type(value).__name__}, and is {signature}")
    return found


def check_returned(new: Mapping[Any, Any], values: Mapping[str, Any], graph: _Graph, *, what: str) -> None:
    """Raise `MigrationFailed` where what migrations have returned does not fit the channels of a graph."""
    known = [name for name in graph.channels if ":" not in name and not name.startswith("__") and name not in OWN]
    left_out = sorted(name for name in values if name in known and name not in new)
    if left_out:
        raise MigrationFailed(f"{what} left out {left_out[0]!r}, which the graph has; return a value for it")
    for name, value in new.items():
        if name not in known:
            raise MigrationFailed(
                f"{what} returned {name!r}, which is no channel that was added to the state; "
                f"these are: {', '.join(map(repr, known)) or 'none'}"
            )
        channel: Any = graph.channels[name]
        if _write(channel, value) is None:
            raise MigrationFailed(
                f"{what} returned {name!r}, a channel that cannot be replaced: {signature_of(channel)}"
            )
        if not _fits(channel, value):
            raise MigrationFailed(
                f"{what} returned a value of type {type(value).__name__} for {name!r}, which is {signature_of(channel)}"
            )


def written(graph: _Graph, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the writes after which channels hold these values, whatever they hold now."""
    writes = {name: _write(graph.channels[name], value) for name, value in values.items()}
    return {name: write[0] for name, write in writes.items() if write is not None}


def _write(channel: object, value: Any) -> tuple[Any] | None:
    """Return the write that replaces the value of a channel; `None` where there is none."""
    if isinstance(channel, BinaryOperatorAggregate | DeltaChannel):
        return (Overwrite(value),)
    return (value,) if isinstance(channel, LastValue) else None


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | bytes | list | tuple | dict | set | frozenset) and not value)


def _fits(channel: Any, value: Any) -> bool:
    """Return whether a value is of the type of a channel; one of a type that pydantic does not know fits."""
    try:
        adapter = TypeAdapter[Any](channel.typ, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a model has a config of its own
        try:
            adapter = TypeAdapter[Any](channel.typ)
        except Exception:
            return True
    except Exception:  # whatever a class does that is no pydantic type
        return True
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True
