"""What agents are told of each other's work: accepted results and gaps, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardgraph.state import ContextItem, Gap, Result, Subtask

__all__ = ("accepted_of", "context_of", "subtasks_by_id")


def accepted_of(state: Mapping[str, Any]) -> list[Result]:
    """Return the accepted results of a team's state, in the order in which they were made.

    One that was accepted, and then refused by a later gate, is not among them.
    """
    accepted = set(state.get("accepted") or ()).difference(state.get("refused") or ())
    return [result for result in state.get("results") or () if result.id in accepted]


def context_of(state: Mapping[str, Any], subtask: Subtask | None = None) -> tuple[ContextItem, ...]:
    """Return background, accepted results and gaps as context for an agent.

    For a `subtask`, of results and gaps only those of the team's own subtasks that it depends on.
    """
    given, needed = tuple(state.get("context") or ()), None if subtask is None else set(subtask.depends_on)
    if needed is not None and not needed:
        return given
    planned, gaps = subtasks_by_id(state), state.get("gaps") or ()
    results = [result for result in accepted_of(state) if needed is None or result.subtask in needed]
    missing = [gap for gap in gaps if needed is None or (not gap.path and gap.subtask in needed)]
    return (*given, *(_result_piece(r, planned) for r in results), *(_gap_piece(gap, planned) for gap in missing))


def subtasks_by_id(state: Mapping[str, Any]) -> dict[str, Subtask]:
    """Return all subtasks that were planned so far, by the id by which results and gaps name them."""
    return {subtask.id: subtask for subtask in state.get("subtasks") or ()}


def _result_piece(result: Result, planned: Mapping[str, Subtask]) -> ContextItem:
    subtask = planned.get(result.subtask or "")
    return ContextItem(
        kind="result",
        title=subtask.goal if subtask else result.subtask or result.agent,
        sender=result.agent,
        value=result.value,
        evidence=result.evidence,
        subtask=result.subtask,
    )


def _gap_piece(gap: Gap, planned: Mapping[str, Subtask]) -> ContextItem:
    subtask = None if gap.path else planned.get(gap.subtask)
    title = subtask.goal if subtask else gap.subtask
    return ContextItem(kind="gap", title=title, sender=gap.agent or "", value=gap.reason, subtask=gap.subtask)
