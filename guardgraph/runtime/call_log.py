"""The recent calls of models and tools, of one attempt or of one run."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import islice
from threading import Lock
from typing import Any, NamedTuple, TypeAlias

from guardgraph.guards.calls import ModelCall, ToolCall, normalized

__all__ = ("Call", "CallLog", "restored_call", "stored_call")

Call: TypeAlias = ModelCall | ToolCall


class _Known(NamedTuple):
    """A call that is known."""

    call: Call
    task: str
    """The task of LangGraph that has made it: the path of nodes and their ids; empty where there is none."""
    is_earlier: bool = False
    """Whether it was made before the attempt was interrupted, or cut off by a crash."""
    stored: str = ""
    """It as JSON text, once that was needed: it is stored with each later call too."""


class CallLog:
    """The last `limit` calls in the order in which they began; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, Lock()
        self._calls: OrderedDict[str, _Known] = OrderedDict()
        self._has_earlier = False

    def add(self, call: Call, task: str = "") -> None:
        """Add a call that begins. What its task has called before an interrupt or a crash is made again: drop that."""
        with self._lock:
            if self._has_earlier:
                self._drop(lambda one: one.is_earlier and one.task == task)
            self._keep(_Known(call, task))

    def change(self, id: str, change: Callable[[Call], Call]) -> None:
        """Change a call that is still known, as when it has ended."""
        with self._lock:
            if id in self._calls:
                known = self._calls[id]
                self._calls[id] = known._replace(call=change(known.call), stored="")

    def remove(self, id: str) -> None:
        """Remove a call that was not made."""
        with self._lock:
            self._calls.pop(id, None)

    def remove_task_of(self, id: str) -> None:
        """Remove a call that was interrupted, and the others of its task: they are made again."""
        with self._lock:
            known = self._calls.pop(id, None)
            if known is not None and known.task:
                self._drop(lambda one: one.task == known.task)

    def remove_earlier(self, task: str) -> None:
        """Remove what a task, and those within, have called before an interrupt or a crash: it begins anew."""
        with self._lock:
            if self._has_earlier:
                self._drop(lambda one: one.is_earlier and (one.task == task or one.task.startswith(f"{task}|")))

    def add_earlier(self, stored: Iterable[str | Mapping[str, Any]]) -> None:
        """Add calls that were made before the attempt was interrupted, or cut off by a crash, as `stored` has them."""
        with self._lock:
            for one in stored:
                fields: dict[str, Any] = json.loads(one) if isinstance(one, str) else dict(one)
                task = fields.pop("task", "")
                self._keep(_Known(restored_call(fields), task, is_earlier=True))
                self._has_earlier = True

    def stored(self, limit: int) -> list[str]:
        """Return the last `limit` calls, each as JSON text."""
        with self._lock:
            last = [*islice(reversed(self._calls.items()), limit)][::-1]
            for id, known in last:
                if not known.stored:
                    data = {**stored_call(known.call), **({"task": known.task} if known.task else {})}
                    self._calls[id] = known._replace(stored=json.dumps(data, separators=(",", ":")))
            return [self._calls[id].stored for id, _ in last]

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls at this moment."""
        with self._lock:
            return tuple(one.call for one in self._calls.values())

    def _keep(self, known: _Known) -> None:
        self._calls[known.call.id] = known
        if len(self._calls) > self._limit:
            self._calls.popitem(last=False)

    def _drop(self, is_dropped: Callable[[_Known], bool]) -> None:
        for id in [id for id, one in self._calls.items() if is_dropped(one)]:
            del self._calls[id]


def stored_call(call: Call) -> dict[str, Any]:
    """Return a call as JSON data; the arguments of a tool are normalised, and left out where they are long."""
    if isinstance(call, ToolCall):
        text = normalized(dict(call.arguments))
        is_full = call.signature == f"{call.name}({text})"  # not of long arguments, or those left out before
        return {
            "id": call.id,
            "at": call.at.isoformat(),
            "name": call.name,
            "arguments": json.loads(text) if is_full else {},
            "agent": call.agent,
            **({} if is_full else {"signature": call.signature}),
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
        **({"provider": call.provider} if call.provider else {}),
    }


def restored_call(data: Mapping[str, Any]) -> Call:
    """Return the call that `stored_call` has made data of."""
    fields: dict[str, Any] = {**data, "at": datetime.fromisoformat(data["at"])}
    if "name" in data:
        signature = fields.pop("signature", None)
        call = ToolCall(**fields)
        if signature is not None:
            call.__dict__["signature"] = signature  # of the arguments that are left out
        return call
    fields["ended"] = data["ended"] and datetime.fromisoformat(data["ended"])
    return ModelCall(**fields)
