"""What a route answers, read and checked: what would break the graph or spoil its state does not get through."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

from langgraph.types import Command, Send
from pydantic import TypeAdapter, ValidationError

from guardgraph.state import BadInput, Position, Request, RunState, merge_messages

__all__ = ("RouteAnswer", "read_answer")

_GATES = ("conclude", "guard_exit")
_OWN = ("requests", "visits", "remaining_steps")
"""Channels that only gates and agent nodes write."""


class RouteAnswer(NamedTuple):
    """Where a route leads, and what it writes."""

    goto: Any
    nodes: tuple[str, ...]
    """The nodes to which `goto` leads."""
    update: dict[str, Any]


def read_answer(
    way: object, *, goes: Collection[str], ends: Collection[str], agents: Collection[str]
) -> RouteAnswer | str:
    """Return what a route has answered, or what is wrong with it.

    It may go on to the nodes of `goes`, or to one of `ends`; what is sent to one of the `agents` has to be a request.
    """
    answer = way if isinstance(way, Command) else Command(goto=way)
    sends: list[Any] = [*answer.goto] if isinstance(answer.goto, list | tuple) else [answer.goto]
    known = ", ".join(map(repr, sorted({*goes, *ends})))
    if answer.graph is not None or not sends or not all(isinstance(one, str | Send) for one in sends):
        return f"answered {_shown(way)}, which leads nowhere; it may go to {known}"
    nodes = tuple(one.node if isinstance(one, Send) else str(one) for one in sends)
    unknown = [node for node in nodes if node not in goes and node not in ends]
    if unknown:
        return f"went to {unknown[0]!r}, which is none of those to which it may go: {known}"
    if len(nodes) > 1 and not set(ends).isdisjoint(nodes):
        return f"went to {', '.join(map(repr, nodes))}, though what ends the run cannot go on"
    odd = next((one for one in sends if isinstance(one, Send) and not _fits(one, agents)), None)
    if odd is not None:
        return f"sent {_shown(odd.arg)} to {odd.node!r}, which is no request (`send` and `send_subtask` make one)"
    update = _validated(answer.update)
    return update if isinstance(update, str) else RouteAnswer(answer.goto, nodes, update)


def _fits(send: Send, agents: Collection[str]) -> bool:
    if send.node in _GATES:  # they read the state
        return False
    if send.node not in agents:
        return True
    try:
        Position.model_validate(send.arg["position"])
        Request.model_validate(send.arg["request"])
    except (TypeError, KeyError, ValidationError):
        return False
    return True


def _validated(update: object) -> dict[str, Any] | str:
    """Return the update with the values that its channels take, or what is wrong with it."""
    if update is None:
        return {}
    if not isinstance(update, Mapping):
        return f"answered a `Command` with the update {_shown(update)}, which is no mapping"
    values: dict[str, Any] = {}
    for name, value in update.items():
        if name in _OWN:
            return f"wrote to {name!r}, which belongs to the gates"
        adapter = _channels().get(name)
        try:
            values[name] = value if adapter is None else adapter.validate_python(value)
            if name == "messages":
                merge_messages([], value)
        except ValidationError as error:
            return f"wrote {_shown(value)} to {name!r}: {error.errors()[0]['msg']}"
        except BadInput as error:
            return f"wrote {_shown(value)} to {name!r}: {error}"
    return values


@cache
def _channels() -> dict[str, TypeAdapter[Any]]:
    """Return what each channel of the shared state takes."""
    hints = get_type_hints(RunState, include_extras=False)
    return {name: TypeAdapter[Any](hint) for name, hint in hints.items() if get_args(hint) or isinstance(hint, type)}


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # whatever its class does
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:79]}…"
