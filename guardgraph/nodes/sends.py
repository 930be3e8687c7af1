"""What gates ask of agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.state import ContextItem, Request, Subtask

__all__ = ("request_for", "worker_roster")


def request_for(
    state: Mapping[str, Any],
    subtask: Subtask | None,
    context: tuple[ContextItem, ...],
    *,
    attempt: int = 1,
    feedback: str | None = None,
) -> Request:
    """Return the request for the task as a whole, or for one `subtask` of it."""
    return Request(
        task=state["admitted"],
        subtask=subtask,
        context=context,
        round=state.get("round") or 1,
        attempt=attempt,
        feedback=feedback,
    )


def worker_roster(workers: Iterable[Agent]) -> tuple[ContextItem, ...]:
    """Return who can be delegated to, as context for a planner."""
    return tuple(
        ContextItem(
            kind="worker", title=worker.name, value={"skills": list[JsonValue](sorted(worker.skills))}, sender="team"
        )
        for worker in workers
    )
