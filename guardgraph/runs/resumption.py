"""What a run may be given to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.types import TASKS
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import PregelTask, Send, StateSnapshot

from guardgraph.runs.records import Head
from guardgraph.runs.run import Run
from guardgraph.runs.updating import is_stranded
from guardgraph.state import Allowance, BadInput, MigrationNeeded, Outcome, RunEnded, RunStranded
from guardgraph.storage.sql.runs import RunRow

__all__ = ("check_going_on", "check_nodes", "check_resumption", "next_nodes")

_GOTO = "branch:to:"


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


def check_nodes(head: Head | None, graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str) -> None:
    """Raise `MigrationNeeded` where a run was left at a node that its graph does not have any more.

    LangGraph would end such a run in silence. What waits inside an agent is looked at, too: a nested team that was left
    at such a node has nothing that comes next.
    """
    if head is None:
        return
    unknown = sorted(next_nodes(head) - set(graph.nodes))
    known = ", ".join(sorted(name for name in graph.nodes if not name.startswith("__")))
    values: Mapping[str, Any] = head.checkpoint.checkpoint["channel_values"]
    if not unknown and values.get("position") is not None and "admitted" not in values and "unfit" not in values:
        unknown = ["guard_admission"]
        known = "its task is not stored where this version looks for it"
    if not unknown:
        config: RunnableConfig = {"configurable": {"thread_id": thread_id}}
        unknown = [name for task in graph.get_state(config, subgraphs=True).tasks for name in _stuck(task)]
    if unknown:
        what = (
            f"thread {thread_id!r} was left at {unknown[0]!r} by another version of its graph than this one ({known})"
        )
        hint = "resume it with the version that began it, or cancel it"
        raise MigrationNeeded(f"{what}; {hint}", thread_id=thread_id, found=unknown[0], known=known)


def next_nodes(head: Head | None) -> set[str]:
    """Return the nodes that come next at a checkpoint, as far as that is known."""
    if head is None:
        return set()
    values: Mapping[str, Any] = head.checkpoint.checkpoint["channel_values"]
    pending = head.checkpoint.pending_writes or ()
    written = [value for _, name, value in pending if name == TASKS]
    sends = [one for one in (*(values.get(TASKS) or ()), *written) if isinstance(one, Send)]
    names = (*values, *(name for _, name, _ in pending))
    return {name.removeprefix(_GOTO) for name in names if name.startswith(_GOTO)} | {one.node for one in sends}


def _stuck(task: PregelTask) -> list[str]:
    """Return the agents in which a nested team has not ended, and has nothing that comes next."""
    nested = task.state
    if not isinstance(nested, StateSnapshot):
        return []
    is_open = nested.values.get("admitted") is not None and nested.values.get("outcome") is None
    if is_open and not nested.next:
        return [task.name]
    return [f"{task.name}/{name}" for one in nested.tasks for name in _stuck(one)]
