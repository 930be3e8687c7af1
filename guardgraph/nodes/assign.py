"""What gates send to agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langgraph.types import Send
from pydantic import JsonValue

from guardgraph.nodes.agent import Agent
from guardgraph.nodes.pieces import accepted_of, gap_piece, pieces_of, result_piece, titles_of
from guardgraph.state import Piece, Request, Subtask

__all__ = ("send", "send_subtask", "worker_pieces")


def send(
    agent: Agent,
    state: Mapping[str, Any],
    *,
    attempt: int = 1,
    feedback: str | None = None,
    extra: Iterable[Piece] = (),
) -> Send:
    """Send the task as a whole: to a planner, a synthesizer or a stage, with all that is accepted so far."""
    context = (*pieces_of(state), *extra)
    request = Request(
        task=state["admitted"],
        context=context,
        round=state.get("round") or 1,
        attempt=attempt,
        feedback=feedback,
    )
    return Send(agent.name, {"request": request, "position": state["position"]})


def send_subtask(
    agent: Agent, subtask: Subtask, state: Mapping[str, Any], *, attempt: int = 1, feedback: str | None = None
) -> Send:
    """Send one subtask with the accepted results that it depends on, and nothing of the others'."""
    needed = set(subtask.depends_on)
    goals = titles_of(state) if needed else {}
    results = (result_piece(r, goals) for r in accepted_of(state) if r.subtask in needed) if needed else ()
    own_gaps = (gap for gap in state.get("gaps") or () if not gap.path)
    gaps = (gap_piece(gap, goals) for gap in own_gaps if gap.subtask in needed)
    request = Request(
        task=state["admitted"],
        subtask=subtask,
        context=(*(state.get("context") or ()), *results, *gaps),
        round=state.get("round") or 1,
        attempt=attempt,
        feedback=feedback,
    )
    return Send(agent.name, {"request": request, "position": state["position"]})


def worker_pieces(workers: Iterable[Agent]) -> tuple[Piece, ...]:
    """Return who can be delegated to, as context for a planner."""
    return tuple(
        Piece(kind="worker", title=worker.name, value={"skills": list[JsonValue](sorted(worker.skills))}, sender="team")
        for worker in workers
    )
