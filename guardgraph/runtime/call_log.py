"""The recent calls of models and tools, of one attempt or of one run in this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TypeAlias

from guardgraph.guards.calls import ModelCall, ToolCall

__all__ = ("Call", "CallLog")

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
