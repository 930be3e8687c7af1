"""Makes results of the answers of agents. Pure: no clock, no ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.types import Command
from pydantic import TypeAdapter, ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.agents.emitted_events import emitted_events
from guardgraph.agents.outgoing import handoff_message, handoff_targets, memory_after
from guardgraph.runtime.outbox import Outbox, is_json
from guardgraph.state import (
    AgentError,
    BadInput,
    ErrorKind,
    Event,
    Gap,
    Message,
    Outcome,
    Reply,
    Request,
    ReservationDenied,
    Result,
    ResultStatus,
    Usage,
    Verdict,
    check_json,
    error_text,
    to_json,
    validation_text,
)

__all__ = (
    "InvalidAnswer",
    "failed_result",
    "gap_of",
    "last_text",
    "messages_output",
    "result_id",
    "result_of_answer",
    "result_of_handoff",
    "stopped_error",
    "with_events",
)

_NO_PEERS = Outbox()
_NO_EVENT = "emits events, but handles none; only subscribers of a `reactive` team emit"
_NOTHING = "it returned None: did you forget `return`? Return `Reply(value=None)` if None is the answer"
_ENDS: dict[ErrorKind, tuple[ResultStatus, str | None]] = {
    "timeout": ("timeout", None),
    "deadline": ("timeout", "Deadline"),
    "stopped": ("failed", "Budget"),
    "skipped": ("skipped", "Budget"),
}
"""The status of a failed attempt, and the guard that stopped it; the agent's own timeout is no guard."""


class InvalidAnswer(ValueError):
    """The answer of an agent does not have the form that the agent declares."""


def messages_output(output: Mapping[str, Any]) -> Any:
    """Return the structured response, if there is one, else the text of the last message."""
    structured = output.get("structured_response")
    return last_text(output["messages"]) if structured is None else structured


def with_events(answer: Any, messages: Iterable[Any]) -> Any:
    """Return an answer with the events that the tool `emit_event` has emitted among `messages`."""
    events = emitted_events(messages)
    if not events:
        return answer
    reply = answer if isinstance(answer, Reply) else Reply(value=answer)
    return reply.model_copy(update={"events": (*reply.events, *events)})


def last_text(messages: Sequence[Any]) -> str:
    """Return the text of the last message. Raises `InvalidAnswer` for no text, and for a broken tool call."""
    last = messages[-1]
    if isinstance(last, AIMessage) and last.invalid_tool_calls and not last.text:
        broken = last.invalid_tool_calls[0]
        raise InvalidAnswer(
            f"the model's tool call cannot be read: {broken.get('name')}({str(broken.get('args'))[:200]})"
        )
    if not last.text.strip():
        raise InvalidAnswer("the model's answer has no text")
    return last.text


def result_id(agent: str, request: Request, execution: str = "") -> str:
    """Return the id of the result of one attempt, unique to this `execution` of a node."""
    subject = request.subtask.id if request.subtask else f"r{request.round}"
    return f"{agent}/{subject}#{request.attempt}" + (f".{execution}" if execution else "")


def result_of_answer(
    agent: Agent,
    request: Request,
    raw: object,
    *,
    usage: Usage,
    stopped: ReservationDenied | Verdict | None,
    outbox: Outbox = _NO_PEERS,
) -> Result:
    """Return the result of an attempt that returned `raw`; after a stop it is only partial.

    A bare `None` is no answer, unless the declared `output` takes it, or messages were sent. A `Command` is a
    request to hand over. Messages go where `outbox` lets them, after those that it has already; events are for who
    handles an event.
    """
    if isinstance(raw, Command):
        return result_of_handoff(agent, request, raw, usage=usage, outbox=outbox)
    error, by = stopped_error(stopped) if stopped is not None else (None, None)
    if isinstance(raw, Outcome):
        found = _of_team(agent, request, raw, usage)
        if not isinstance(stopped, Verdict):
            return found
        changes = {"status": "partial" if found.has_value else found.status, "stopped_by": by, "error": error}
        return found.model_copy(update=changes)
    try:
        if raw is None and agent.output is None and not outbox.messages:
            raise InvalidAnswer(_NOTHING)
        if outbox.peers and any(isinstance(one, Message) for one in (raw if isinstance(raw, list | tuple) else [raw])):
            raise BadInput("returned a `Message`: send it as `Reply(messages=…)`")
        reply = (
            type(raw).model_validate({**vars(raw)}) if isinstance(raw, Reply) else Reply(value=raw)
        )  # a copy may not fit
        events = tuple(Event.model_validate({**vars(event)}) for event in reply.events)  # nor may data that was changed
        messages = outbox.with_messages(reply.messages)
        if not is_json(reply.memory):
            raise BadInput("keeps what is no JSON: `memory` holds NaN, an infinite number or half a character")
        if reply.events and request.event is None:
            raise BadInput(_NO_EVENT)
        value = None if reply.value is None and messages else _fitting(agent.output, reply.value)
    except Exception as unfit:  # a validator of the user's may raise anything
        why = _NOTHING if raw is None else _why_unfit(unfit)
        fields = {"stopped_by": by} if error is not None else {}
        return failed_result(agent, request, error or AgentError(kind="invalid", message=why), usage=usage, **fields)
    return _result(
        agent,
        request,
        usage,
        status="ok" if stopped is None else "partial",
        stopped_by=by,
        value=value,
        evidence=reply.evidence,
        confidence=reply.confidence,
        reasoning=reply.reasoning,
        subtasks=reply.subtasks,
        messages=messages,
        memory=memory_after(agent, request, value, messages) if reply.memory is None and outbox.peers else reply.memory,
        events=events,
        error=error,
    )


def stopped_error(stopped: ReservationDenied | Verdict) -> tuple[AgentError, str]:
    """Return the error of an attempt that was stopped, and the guard that has stopped it."""
    if isinstance(stopped, Verdict):
        return AgentError(kind="stopped", message=stopped.reason), stopped.guard
    return AgentError(kind="stopped", message=str(stopped)), "Budget"


def failed_result(agent: Agent, request: Request, error: AgentError, *, usage: Usage, **fields: Any) -> Result:
    """Return the result of an attempt that gave no answer, with other `fields` of it."""
    status, guard = _ENDS.get(error.kind, ("failed", None))
    return _result(agent, request, usage, **{"status": status, "error": error, "stopped_by": guard, **fields})


def result_of_handoff(
    agent: Agent,
    request: Request,
    command: Command[Any],
    *,
    usage: Usage,
    outbox: Outbox = _NO_PEERS,
) -> Result:
    """Return the result of an attempt that asks to hand over: to a peer it is a message.

    Elsewhere it is not an answer; the gate decides what follows.
    """
    try:
        message = handoff_message(command, outbox.peers)
    except ValueError as unfit:
        why = f"it hands over what is no JSON: {error_text(unfit, named=False)}"
        return failed_result(agent, request, AgentError(kind="invalid", message=why), usage=usage)
    if message is not None:  # what was handed over by a tool of the team is in the outbox
        is_sent = any((one.performative, one.recipients) == ("hand_off", message.recipients) for one in outbox.messages)
        reply = Reply(messages=() if is_sent else (message,))
        return result_of_answer(agent, request, reply, usage=usage, stopped=None, outbox=outbox)
    names = tuple(str(getattr(target, "node", target)) for target in handoff_targets(command))
    to = " and ".join(map(repr, names)) or "no agent"
    why = f"it returned a handoff to {to}, which this team does not allow; return an answer instead"
    if outbox.peers:  # no other agent takes over: it is an invalid answer
        return failed_result(agent, request, AgentError(kind="invalid", message=why), usage=usage)
    error = AgentError(kind="handoff", message=why)
    return failed_result(agent, request, error, usage=usage, handoff=names)


def _result(agent: Agent, request: Request, usage: Usage, **fields: Any) -> Result:
    return Result(
        id=request.id or result_id(agent.name, request),
        agent=agent.name,
        version=agent.version,
        subtask=request.subtask.id if request.subtask else None,
        round=request.round,
        attempt=request.attempt,
        usage=usage,
        review=request.review and request.review.id,
        **fields,
    )


def _of_team(agent: Agent, request: Request, outcome: Outcome, usage: Usage) -> Result:
    """Return a nested team's outcome as a result: a degraded team never looks complete from above."""
    team = f"{agent.name}:{request.subtask.id}" if request.subtask else agent.name
    gaps = tuple(gap.model_copy(update={"path": (team, *gap.path)}) for gap in outcome.gaps)
    is_whole = outcome.status == "completed" and not outcome.gaps
    has_value = outcome.status in ("completed", "degraded")
    try:
        value = _fitting(agent.output, outcome.value) if has_value else outcome.value
    except Exception as unfit:
        error = AgentError(kind="invalid", message=_why_unfit(unfit))
        return failed_result(agent, request, error, usage=usage, gaps=gaps, stopped_by=outcome.stopped_by)
    why = "; ".join(_causes(outcome)[:3]) or outcome.stopped_by or "no value"
    return _result(
        agent,
        request,
        usage,
        status="ok" if is_whole else "partial" if has_value else "failed",
        value=value,
        evidence=outcome.evidence,
        confidence=outcome.confidence,
        reasoning=outcome.reasoning,
        dissent=outcome.dissent,
        gaps=gaps,
        trusted=outcome.trusted,
        stopped_by=outcome.stopped_by,
        error=None if is_whole else AgentError(kind="team", message=f"the team ended as {outcome.status}: {why}"),
    )


def _causes(outcome: Outcome) -> list[str]:
    """Return why a team has ended and what is missing, without what only repeats another reason."""
    found: list[str] = []
    for gap in outcome.gaps:
        if not any(reason in gap.reason for reason in found):
            found.append(gap.reason)
    why = outcome.reason
    return found if not why or any(reason in why for reason in found) else [why, *found]


def _fitting(output: Any, value: object) -> Any:
    """Return `value` as JSON data; raise an error if it does not fit the declared type, or has no JSON form."""
    if output is None:
        data = to_json(value)
    else:
        adapter = _adapter(output)
        data = adapter.dump_python(adapter.validate_python(value), mode="json")
    check_json(data)
    return data


def _adapter(output: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(output)
    except TypeError:  # an annotation whose metadata cannot be hashed
        return TypeAdapter(output)


_cached_adapter = lru_cache(maxsize=256)(TypeAdapter[Any])


def _why_unfit(error: Exception) -> str:
    if isinstance(error, BadInput):
        return f"it {error}"
    if isinstance(error, ValidationError):
        return f"the value does not fit {error.title}: {validation_text(error)}"
    if isinstance(error, ValueError):
        return f"the value cannot be stored as JSON: {error_text(error, named=False)}"
    return f"the value could not be checked: {error_text(error)}"


def gap_of(result: Result, *, guard: str | None = None, reason: str | None = None) -> Gap:
    """Return the gap of a result that is not used."""
    missing = "the answer is provisional" if result.status == "provisional" else "no answer"
    why = reason or (result.error.message if result.error else missing)
    return Gap(
        subtask=result.role,
        agent=result.agent,
        reason=why,
        guard=guard or result.stopped_by,
        round=result.round,
    )
