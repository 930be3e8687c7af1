"""What agents are told of each other's work: accepted results and gaps, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardgraph.state import Gap, Piece, Result, Subtask

__all__ = ("accepted_of", "gap_piece", "pieces_of", "result_piece", "titles_of")


def accepted_of(state: Mapping[str, Any]) -> list[Result]:
    """Return the accepted results of a team's state, in the order in which they were made.

    One that was accepted, and then refused by a later gate, is not among them.
    """
    accepted = set(state.get("accepted") or ()).difference(state.get("refused") or ())
    return [result for result in state.get("results") or () if result.id in accepted]


def pieces_of(state: Mapping[str, Any]) -> tuple[Piece, ...]:
    """Return background, accepted results and gaps as context for an agent."""
    known = titles_of(state)
    return (
        *(state.get("context") or ()),
        *(result_piece(result, known) for result in accepted_of(state)),
        *(gap_piece(gap, known) for gap in state.get("gaps") or ()),
    )


def result_piece(result: Result, goals: Mapping[str, Subtask]) -> Piece:
    """Return an accepted result as context."""
    subtask = goals.get(result.subtask or "")
    return Piece(
        kind="result",
        title=subtask.goal if subtask else result.subtask or result.agent,
        sender=result.agent,
        value=result.value,
        evidence=result.evidence,
        subtask=result.subtask,
    )


def gap_piece(gap: Gap, goals: Mapping[str, Subtask]) -> Piece:
    """Return a gap as context."""
    subtask = None if gap.path else goals.get(gap.subtask)
    title = subtask.goal if subtask else gap.subtask
    return Piece(kind="gap", title=title, sender=gap.agent or "", value=gap.reason, subtask=gap.subtask)


def titles_of(state: Mapping[str, Any]) -> dict[str, Subtask]:
    """Return all subtasks that were planned so far, by the id by which results and gaps name them."""
    return {subtask.id: subtask for subtask in state.get("subtasks") or ()}
