"""Ending a run from outside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.channels import BinaryOperatorAggregate, LastValue
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.serde.types import TASKS
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Overwrite, Send

from guardgraph.nodes.context import accepted_of
from guardgraph.nodes.outcome import outcome_of
from guardgraph.nodes.scope import attempts_of
from guardgraph.runs.run import Run
from guardgraph.state import BadInput, EarlyStop, Gap, Outcome, Request, Result, RunEnded, RunEvent, Usage

__all__ = ("asked_reason", "cancelled_outcome", "concluding", "ended_error", "finished_event", "tell")

_LOG = logging.getLogger(__name__)
_PLACES = {"guard_admission", "guard_exit"}
"""The nodes that every graph of guardgraph has."""
_UNKEPT = object()
_DONE = {"partial": "done in part", "provisional": "done provisionally"}


def asked_reason(reason: object) -> str:
    """Return why a run is cancelled. Raises `BadInput` for what is no text, or empty."""
    if not isinstance(reason, str) or not reason.strip():
        raise BadInput(f"`reason` says in a few words why the run is cancelled; got {reason!r}")
    return reason


def concluding(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str, reason: str) -> Command[Any] | None:
    """Return what lets the graph of a run that is cancelled conclude it, and do nothing else; `None` if it cannot.

    The guards of its exit judge what becomes the value. What is done, and no gate has reviewed, is no part of that: a
    guard could have refused it. Its gap tells so. All that was written beside what still waits is written again:
    LangGraph drops it where a thread's state is updated.
    """
    config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
    if not graph.nodes.keys() >= _PLACES:
        return None
    state, saver = graph.get_state(config).values, cast("BaseCheckpointSaver[Any]", graph.checkpointer)
    head = saver.get_tuple(config)
    kept = {name: _rewritten(graph.channels.get(name), value) for name, value in state.items()}
    gaps = [*(state.get("gaps") or ()), *_unreviewed(state, (), reason), *_waiting(state, _sends(head), reason)]
    planned = {subtask.id for subtask in state.get("subtasks") or ()}
    if not gaps and planned <= {result.subtask for result in accepted_of(state)}:  # what would have come is not known
        gaps = [Gap(subtask="run", reason=reason)]
    ending = EarlyStop(status="cancelled", reason=reason)
    written = {name: value for name, value in kept.items() if value is not _UNKEPT}
    return Command(update={**written, "ending": ending, "gaps": Overwrite(gaps)}, goto="guard_exit")


def _sends(head: CheckpointTuple | None) -> list[Send]:
    """Return what was to be sent next at a checkpoint, and what was written beside it."""
    if head is None:
        return []
    written = [value for _, name, value in head.pending_writes or () if name == TASKS]
    return [*(head.checkpoint["channel_values"].get(TASKS) or ()), *written]


def _rewritten(channel: object, value: Any) -> Any:
    """Return what makes a channel hold a value, whatever it has held."""
    if isinstance(channel, BinaryOperatorAggregate):
        return Overwrite(value)
    return value if isinstance(channel, LastValue) else _UNKEPT


def _waiting(state: Mapping[str, Any], sends: Iterable[Send], reason: str) -> list[Gap]:
    """Return a gap for each agent that was sent the task and has not answered; subtasks have gaps of their own."""
    requests: Mapping[str, Any] = state.get("requests") or {}
    answered = [(result.agent, requests[result.id]) for result in attempts_of(state) if result.id in requests]
    names: list[str] = []
    for send in sends:
        request = send.arg.get("request") if isinstance(send.arg, Mapping) else None
        if (send.node, request) in answered:
            answered.remove((send.node, request))
        elif isinstance(request, Request) and request.subtask is None:
            names.append(send.node)
    return [Gap(subtask=name, agent=name, reason=f"not done, since the run was stopped: {reason}") for name in names]


def cancelled_outcome(state: Mapping[str, Any], usage: Usage, reason: str) -> Outcome:
    """Return the outcome of a run that is ended in this state, where its graph cannot conclude it.

    Nobody asks the guards of its exit, so it has a value only where they have let one pass before. All else that is
    done is in the gaps.
    """
    told = Outcome(status="cancelled", usage=usage)
    if state.get("position") is not None:
        ending, draft = EarlyStop(status="cancelled", reason=reason), _unreviewed_draft(state)
        unjudged = [result for result in (draft, *accepted_of(state)) if result is not None]
        passed = None if draft is not None else state.get("draft")
        gaps = [*(state.get("gaps") or ()), *_unreviewed(state, () if passed is not None else unjudged, reason)]
        told = outcome_of({**state, "draft": passed, "accepted": (), "ending": ending, "gaps": gaps}, usage)
    return told if told.gaps else told.model_copy(update={"gaps": (Gap(subtask="run", reason=reason),)})


def _unreviewed_draft(state: Mapping[str, Any]) -> Result | None:
    """Return the answer of the team that is written, and was not judged at the exit."""
    draft: Result | None = state.get("draft")
    if (
        draft is None
        or not draft.has_value
        or draft.id in {*(state.get("passed") or ()), *(state.get("refused") or ())}
    ):
        return None
    return draft


def _unreviewed(state: Mapping[str, Any], unjudged: Sequence[Result], reason: str) -> list[Gap]:
    """Return a gap for everything that is done, and that nobody has reviewed, or that the exit has not judged."""
    reviewed = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    done = [result for result in state.get("results") or () if result.has_value and result.id not in reviewed]
    why = f"but not reviewed, since the run was cancelled: {reason}"
    gaps = [
        Gap(subtask=one.subtask or one.agent, agent=one.agent, reason=f"{_DONE.get(one.status, 'done')}, {why}")
        for one in (*done, *unjudged)
    ]
    return list(dict.fromkeys(gaps))


def ended_error(run: Run, asked: Literal["update", "cancel"]) -> RunEnded:
    """Return the error for a run that has ended, and whose end nobody can change."""
    by = run.outcome.stopped_by if run.outcome else None
    return RunEnded(run.run_id, thread_id=run.thread_id, status=run.status, stopped_by=by, asked=asked)


def finished_event(run: Run, outcome: Outcome, now: datetime) -> RunEvent:
    """Return the event that a run has been ended."""
    position = run.state.get("position")
    path = position.path if position is not None else ()
    data: dict[str, Any] = {"status": outcome.status, "gaps": len(outcome.gaps)}
    return RunEvent(kind="run_finished", run_id=run.run_id, at=now, path=path, data=data)


def tell(listen: Callable[[RunEvent], None] | None, event: RunEvent) -> None:
    """Tell a listener; one that raises does not disturb the caller."""
    try:
        if listen is not None:
            listen(event)
    except Exception:  # the listener's own trouble
        _LOG.warning("the listener of run %s raised", event.run_id, exc_info=True)
