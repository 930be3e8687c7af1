"""What a run goes on with, and whether it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from guardgraph.runs.head import Head, outermost
from guardgraph.runs.run import Run
from guardgraph.state import Allowance, BadInput, DelegationScope, Outcome, RunEnded, RunStranded
from guardgraph.storage.sql.checkpoints.saver import SQLSaver
from guardgraph.storage.sql.runs import RunRow

__all__ = (
    "check_not_stranded",
    "check_resumption",
    "has_open_task",
    "next_input",
    "packed_answers",
    "packed_input",
    "position_of",
    "unapplied_answers",
)

_Graph = CompiledStateGraph[Any, Any, Any, Any]


def packed_input(graph: _Graph, given: Mapping[str, Any]) -> bytes:
    """Return the input of a run as its row keeps it. Raises `Unserializable` for what cannot be stored."""
    return _codec(graph).dumps({"input": dict(given)}, where="input")


def packed_answers(graph: _Graph, answers: Mapping[str, Any]) -> bytes:
    """Return answers as the row of a run keeps them. Raises `Unserializable` for what cannot be stored."""
    return _codec(graph).dumps({"answers": dict(answers)}, where="answers")


def unapplied_answers(graph: _Graph, row: RunRow, head: Head | None) -> dict[str, Any]:
    """Return the answers that a run was given before, as far as their questions are still open.

    Its process has died before the agents had them. Each question has an id of its own, also of several in one agent.
    """
    if row.command is None or head is None:
        return {}
    answers: Mapping[str, Any] = _codec(graph).loads(row.command).get("answers") or {}
    open_ = {interrupt.id for interrupt in head.interrupts()} if answers else set[str]()
    return {id_: answer for id_, answer in answers.items() if id_ in open_}


def next_input(graph: _Graph, row: RunRow, head: Head | None, answers: Mapping[str, Any]) -> Any:
    """Return what the graph of a run is given: answers; its input, where that was never applied; else nothing."""
    if head is not None:
        return Command(resume=dict(answers)) if answers else None
    given = None if row.command is None else _codec(graph).loads(row.command).get("input")
    return given or {"task": row.task}


def has_open_task(graph: _Graph, thread_id: str) -> bool:
    """Return whether a task is neither finished nor waiting: it was stopped beside an interrupt."""
    tasks = graph.get_state(outermost(thread_id)).tasks
    return any(task.result is None and not task.interrupts for task in tasks)


def check_not_stranded(row: RunRow, head: Head | None) -> None:
    """Raise `RunStranded` where a run that has not ended has nothing that comes next."""
    if row.status is None and head is not None and head.is_stranded():
        raise RunStranded(row.run_id, thread_id=row.thread_id)


def check_resumption(
    run: Run, position: DelegationScope | None, answers: Mapping[str, Any], add: Allowance | None
) -> None:
    """Raise where a stored run cannot take these `answers`, or what is to be added to its allowance.

    `position` is that of its outermost team. A run has ended as soon as its outcome is in its state, also where its
    process died before storing that.

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
    if position is None:
        raise BadInput(f"run {run.run_id!r} never reached its first node: there is nothing to add to; resume it")


def position_of(saver: SQLSaver, row: RunRow, state: Mapping[str, Any]) -> DelegationScope | None:
    """Return the position of a run's outermost team: that in its `state`, or that of the team in a `guarded` graph.

    `None` before its first node.
    """
    if state.get("position") is not None:
        return state["position"]
    reader, everywhere = saver.reading_plain(lambda _: None), RunnableConfig(configurable={"thread_id": row.thread_id})
    within = (one.checkpoint["channel_values"] for one in reader.list(everywhere, filter={"run_id": row.run_id}))
    found = (values.get("position") for values in within)
    return next((one for one in found if isinstance(one, DelegationScope) and one.account == row.run_id), None)


def _codec(graph: _Graph) -> Any:
    saver: Any = graph.checkpointer
    return saver.codec
