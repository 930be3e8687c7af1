"""What a team has accepted, what is missing still, and what was planned. Pure: it reads the state alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardgraph.state import Gap, Result, Subtask

__all__ = ("accepted_of", "closed_subtasks", "open_gaps", "subtasks_by_id")


def accepted_of(state: Mapping[str, Any]) -> list[Result]:
    """Return the accepted results of a team's state, in the order in which they were made.

    One that was accepted, and then refused by a later gate, is not among them.
    """
    accepted = set(state.get("accepted") or ()).difference(state.get("refused") or ())
    return [result for result in state.get("results") or () if result.id in accepted]


def subtasks_by_id(state: Mapping[str, Any]) -> dict[str, Subtask]:
    """Return all subtasks that were planned so far, by the id by which results and gaps name them."""
    return {subtask.id: subtask for subtask in state.get("subtasks") or ()}


def open_gaps(state: Mapping[str, Any]) -> list[Gap]:
    """Return what is missing so far.

    A gap is closed by an accepted and whole result of its subtask, or of a later one that replaces it. Where an agent
    has worked on the task itself, its gap is closed by such a result of a later round, whether it or a fallback worked.
    """
    closed, gaps = closed_subtasks(state), state.get("gaps") or ()
    whole = [result for result in accepted_of(state) if result.status == "ok" and result.subtask is None]
    if not whole:
        return [gap for gap in gaps if gap.owner not in closed]
    last = {result.role: result.round for result in whole}
    nested = {gap: result for result in state.get("results") or () for gap in result.gaps}
    return [gap for gap in gaps if gap.owner not in closed and not _is_made_good(gap, last, nested.get(gap))]


def _is_made_good(gap: Gap, last: Mapping[str, int], source: Result | None) -> bool:
    """Return whether the agent of a gap has done its work in a later round; `source` is a nested team's result."""
    role, number = (gap.subtask, gap.round) if source is None else (source.role, source.round)
    return last.get(role, 0) > number


def closed_subtasks(state: Mapping[str, Any]) -> set[str]:
    """Return the ids of the subtasks that are done, and of all that these replace, however far back."""
    planned, closed = subtasks_by_id(state), set[str]()
    coming = [r.subtask for r in accepted_of(state) if r.status == "ok" and r.subtask in planned]
    while coming:
        id_ = coming.pop()
        if id_ not in closed:
            closed.add(id_)
            coming.extend(planned[id_].replaces if id_ in planned else ())
    return closed
