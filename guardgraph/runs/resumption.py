"""What a run may be given to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardgraph.runs.records import Head
from guardgraph.runs.run import Run
from guardgraph.runs.updating import is_stranded
from guardgraph.state import Allowance, BadInput, Outcome, RunEnded, RunStranded
from guardgraph.state.sql import RunRow

__all__ = ("check_going_on", "check_resumption")


def check_going_on(row: RunRow, head: Head | None) -> None:
    """Raise `RunStranded` where a run that has not ended has nothing that comes next."""
    if row.status is None and head is not None and is_stranded(head.checkpoint):
        raise RunStranded(row.run_id, thread_id=row.thread_id)


def check_resumption(run: Run, answers: Mapping[str, Any], add: Allowance | None) -> None:
    """Raise where a stored run cannot take these `answers`, or what is to be added to its allowance.

    A run has ended as soon as its outcome is in its state, also where its process died before it noted that.

    Raises:
        RunEnded: it has ended; it takes neither.
        BadInput: nothing waits for an answer; `add` holds a depth; or the run never reached its first node.
    """
    outcome: Outcome | None = run.outcome or run.state.get("outcome")
    if outcome is not None and (answers or add is not None):
        raise RunEnded(run.run_id, thread_id=run.thread_id, status=outcome.status, stopped_by=outcome.stopped_by)
    unknown = sorted(set(answers) - {wait.id for wait in run.waiting})
    if unknown:
        open_ = ", ".join(wait.id for wait in run.waiting) or "none"
        raise BadInput(f"nothing waits for {', '.join(unknown)}; open questions: {open_}")
    if add is None:
        return
    if add.depth is not None:
        raise BadInput("`add` holds a depth; how deep a run may delegate is a limit of its graph: raise it there")
    if run.state.get("position") is None:
        raise BadInput(f"run {run.run_id!r} never reached its first node: there is nothing to add to; resume it")
