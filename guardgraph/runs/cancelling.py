"""Ending a run from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langgraph.channels import BinaryOperatorAggregate, LastValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Overwrite

from guardgraph.nodes.accepted import accepted_of
from guardgraph.nodes.outcome import outcome_of, written_value
from guardgraph.nodes.scope import attempts_of
from guardgraph.runs.head import Head, outermost
from guardgraph.state import EarlyStop, Gap, Outcome, Request, Result, Usage

__all__ = ("cancelled_outcome", "conclude_command")

_NODES = {"guard_admission", "guard_exit"}
"""The nodes that every graph of guardgraph has."""
_NOT_WRITTEN = object()
_DONE = {"partial": "done in part", "provisional": "done provisionally"}


def conclude_command(graph: CompiledStateGraph[Any, Any, Any, Any], thread_id: str, reason: str) -> Command[Any] | None:
    """Return the command by which the graph of a cancelled run concludes it and does nothing else; `None` if it cannot.

    The guards of its exit decide what becomes the value. Results that no gate has reviewed are no part of it, since a
    guard could have refused them: they are gaps. All writes beside the checkpoint are written again, since LangGraph
    drops them where a thread's state is updated.
    """
    config = outermost(thread_id)
    if not graph.nodes.keys() >= _NODES:
        return None
    state, saver = graph.get_state(config).values, cast("BaseCheckpointSaver[Any]", graph.checkpointer)
    stored = saver.get_tuple(config)
    gaps = [*(state.get("gaps") or ()), *_unreviewed(state, (), reason)]
    if stored is not None:
        gaps += _unanswered(state, Head(stored), reason)
    planned = {subtask.id for subtask in state.get("subtasks") or ()}
    if not gaps and planned <= {result.subtask for result in accepted_of(state)}:  # the missing work is not known
        gaps = [Gap(subtask="run", reason=reason)]
    kept = {name: _rewritten(graph.channels[name], value) for name, value in state.items() if name in graph.channels}
    written = {name: value for name, value in kept.items() if value is not _NOT_WRITTEN}
    ending = EarlyStop(status="cancelled", reason=reason)
    return Command(update={**written, "ending": ending, "gaps": Overwrite(gaps)}, goto="guard_exit")


def _rewritten(channel: object, value: Any) -> Any:
    """Return the write after which a channel holds a value, whatever it holds now."""
    if isinstance(channel, BinaryOperatorAggregate):
        return Overwrite(value)
    return value if isinstance(channel, LastValue) else _NOT_WRITTEN


def _unanswered(state: Mapping[str, Any], head: Head, reason: str) -> list[Gap]:
    """Return a gap for each agent that was sent the task and has not answered; subtasks have gaps of their own."""
    requests: Mapping[str, Any] = state.get("requests") or {}
    answered = [(result.agent, requests[result.id]) for result in attempts_of(state) if result.id in requests]
    names: list[str] = []
    for send in head.sends():
        request = send.arg.get("request") if isinstance(send.arg, Mapping) else None
        if (send.node, request) in answered:
            answered.remove((send.node, request))
        elif isinstance(request, Request) and request.subtask is None and request.review is None:
            names.append(send.node)
    return [Gap(subtask=name, agent=name, reason=f"not done, since the run was stopped: {reason}") for name in names]


def cancelled_outcome(state: Mapping[str, Any], usage: Usage, reason: str) -> Outcome:
    """Return the outcome of a run that is cancelled in this state, where its graph cannot conclude it.

    Without the guards of its exit there is no value: all results are gaps.
    """
    draft = written_value(state)
    unjudged = [*(() if draft is None else (draft,)), *accepted_of(state)]
    gaps = [*(state.get("gaps") or ()), *_unreviewed(state, unjudged, reason)]
    ending = EarlyStop(status="cancelled", reason=reason)
    outcome = outcome_of({**state, "draft": None, "accepted": (), "ending": ending, "gaps": gaps}, usage)
    return outcome if outcome.gaps else outcome.model_copy(update={"gaps": (Gap(subtask="run", reason=reason),)})


def _unreviewed(state: Mapping[str, Any], unjudged: Sequence[Result], reason: str) -> list[Gap]:
    """Return a gap for each result that no gate has reviewed, and for those that the exit has not judged."""
    reviewed = {*(state.get("accepted") or ()), *(state.get("refused") or ())}
    done = [result for result in state.get("results") or () if result.has_value and result.id not in reviewed]
    why = f"but not reviewed, since the run was cancelled: {reason}"
    gaps = [
        Gap(subtask=one.role, agent=one.agent, reason=f"{_DONE.get(one.status, 'done')}, {why}")
        for one in (*done, *unjudged)
    ]
    return list(dict.fromkeys(gaps))
