"""Checks before a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import PregelTask, StateSnapshot

from guardgraph.runs.head import Head
from guardgraph.runs.run import Run
from guardgraph.state import Allowance, BadInput, MigrationNeeded, Outcome, RunEnded, RunStranded
from guardgraph.storage.sql.runs import RunRow

__all__ = ("check_nodes", "check_not_stranded", "check_resumption")


def check_not_stranded(row: RunRow, head: Head | None) -> None:
    """Raise `RunStranded` where a run that has not ended has nothing that comes next."""
    if row.status is None and head is not None and head.is_stranded():
        raise RunStranded(row.run_id, thread_id=row.thread_id)


def check_resumption(run: Run, answers: Mapping[str, Any], add: Allowance | None) -> None:
    """Raise where a stored run cannot take these `answers`, or what is to be added to its allowance.

    A run has ended as soon as its outcome is in its state, also where its process died before storing that.

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


def check_nodes(head: Head | None, graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str) -> None:
    """Raise `MigrationNeeded` where a run was left at a node that its graph does not have any more.

    LangGraph would end such a run without an outcome. A nested team that was left at such a node counts too: it has
    nothing that comes next.
    """
    if head is None:
        return
    config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
    unknown = sorted(head.next_nodes() - set(graph.nodes)) or [
        name for task in graph.get_state(config, subgraphs=True).tasks for name in _stuck(task)
    ]
    if unknown:
        known = ", ".join(sorted(name for name in graph.nodes if not name.startswith("__")))
        what = f"thread {thread_id!r} was left at {unknown[0]!r} by another version of its graph than this one"
        hint = "resume it with the version that began it, or cancel it"
        raise MigrationNeeded(f"{what} ({known}); {hint}", thread_id=thread_id, found=unknown[0], known=known)


def _stuck(task: PregelTask) -> list[str]:
    """Return the agents whose nested team has not ended and has nothing that comes next."""
    nested = task.state
    if not isinstance(nested, StateSnapshot):
        return []
    is_open = nested.values.get("admitted") is not None and nested.values.get("outcome") is None
    if is_open and not nested.next:
        return [task.name]
    return [f"{task.name}/{name}" for one in nested.tasks for name in _stuck(one)]
