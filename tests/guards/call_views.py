"""Views of calls, built by hand: what an agent is about to do, and what it has done."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import count
from typing import Any

from guardgraph.guards import GuardContext, ModelCall, ToolCall
from guardgraph.state import AgentInfo
from tests.guards.views import NOW

_NUMBERS = count()


def model_call(answer: str | None = None, *, agent: str = "a", ago: float = 0, **facts: Any) -> ModelCall:
    """Return a model call `ago` seconds before now, which has ended at once where it has an answer."""
    at = NOW - timedelta(seconds=ago)
    ended = at if answer is not None else None
    return ModelCall(str(next(_NUMBERS)), at, **{"agent": agent, "answer": answer, "ended": ended, **facts})


def tool_call(name: str = "search", *, agent: str = "a", ago: float = 0, **arguments: Any) -> ToolCall:
    """Return a tool call `ago` seconds before now."""
    return ToolCall(str(next(_NUMBERS)), NOW - timedelta(seconds=ago), name, arguments, agent=agent)


def view_of_call(
    subject: ModelCall | ToolCall, before: Iterable[ModelCall | ToolCall] = (), **facts: Any
) -> GuardContext:
    """Return a call at its gate, after the calls `before`."""
    gate: Any = "tool" if isinstance(subject, ToolCall) else "model"
    return GuardContext(gate=gate, subject=subject, now=NOW, calls=tuple(before), agent=AgentInfo("worker"), **facts)
