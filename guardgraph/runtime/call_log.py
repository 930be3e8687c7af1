"""The recent calls of models and tools, of one attempt or of one run in this process."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import Lock
from typing import Any, TypeAlias

from guardgraph.guards.calls import ModelCall, ToolCall, normalized

__all__ = ("Call", "CallLog", "restored_call", "stored_call")

Call: TypeAlias = ModelCall | ToolCall


class CallLog:
    """The last `limit` calls in the order in which they began; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._calls: OrderedDict[str, Call] = OrderedDict()

    def add(self, call: Call) -> None:
        """Add a call that begins."""
        with self._lock:
            self._calls[call.id] = call
            if len(self._calls) > self._limit:
                self._calls.popitem(last=False)

    def change(self, id: str, change: Callable[[Call], Call]) -> None:
        """Change a call that is still known, as when it has ended."""
        with self._lock:
            if id in self._calls:
                self._calls[id] = change(self._calls[id])

    def remove(self, id: str) -> None:
        """Remove a call that was not made."""
        with self._lock:
            self._calls.pop(id, None)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls at this moment."""
        with self._lock:
            return tuple(self._calls.values())


def stored_call(call: Call) -> dict[str, Any]:
    """Return a call as JSON data; the arguments of a tool are normalised."""
    if isinstance(call, ToolCall):
        arguments = json.loads(normalized(dict(call.arguments)))
        return {
            "id": call.id,
            "at": call.at.isoformat(),
            "name": call.name,
            "arguments": arguments,
            "agent": call.agent,
        }
    return {
        "id": call.id,
        "at": call.at.isoformat(),
        "agent": call.agent,
        "model": call.model,
        "ended": call.ended and call.ended.isoformat(),
        "tokens": call.tokens,
        "answer": call.answer,
        "calls_tools": call.calls_tools,
    }


def restored_call(data: Mapping[str, Any]) -> Call:
    """Return the call that `stored_call` has made data of."""
    fields = {**data, "at": datetime.fromisoformat(data["at"])}
    if "name" in data:
        return ToolCall(**fields)
    return ModelCall(**{**fields, "ended": data["ended"] and datetime.fromisoformat(data["ended"])})
