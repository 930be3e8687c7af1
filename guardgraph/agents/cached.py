"""The key under which the answer to a request is cached, and the form in which it is stored. Pure: it asks no cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from hashlib import blake2b
from typing import Any

from pydantic import TypeAdapter, ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import InvalidAnswer, result_of_answer
from guardgraph.state import Reply, Request, Result, Usage, validation_text

__all__ = ("cache_key", "declaration_digest", "result_of_stored", "stored_form")

_FORMAT = 1
"""The version of the stored form; what another version has stored is not read."""
_FIELDS = frozenset({"value", "evidence", "confidence", "reasoning", "subtasks", "events"})
_SUBTASK = {"goal", "inputs", "skill"}
_ITEM = {"kind", "title", "sender", "value", "evidence", "confidence", "reasoning"}


def declaration_digest(agent: Agent, *, evidence: bool) -> str:
    """Return a digest of what declares an agent: the same in every process.

    It covers the name, the version, the instructions, the name and the settings of its model, its tools, the schema of
    its output, and the names of its code. The code itself counts by `version` alone.
    """
    facts = {
        "agent": [agent.name, agent.version, agent.kind, evidence, agent.max_tokens],
        "instructions": agent.instructions,
        "code": [_name_of(code) for code in (agent.run, agent.to_input, agent.from_output)],
        "model": _model(agent.model),
        "models": [(name, _model(model)) for name, model in agent.models.items()],
        "choose": _name_of(agent.choose),
        "tools": [_tool(tool) for tool in agent.tools],
        "output": _schema(agent.output),
    }
    return _digest(facts)


def cache_key(declaration: str, request: Request) -> str:
    """Return the key of the answer to a request by an agent with this `declaration_digest`.

    It covers all of the task but its id, with a digest of each attachment; goal, inputs and skill of the subtask, the
    context, the messages and what the agent has kept, the number of the round, and what a reviewer is asked. Never an
    id or a time.
    """
    task = request.task.model_dump(mode="json", exclude={"id"})
    subtask = request.subtask.model_dump(mode="json", include=_SUBTASK) if request.subtask else None
    context = [item.model_dump(mode="json", include=_ITEM) for item in request.context]
    sent = [message.model_dump(mode="json", exclude={"id", "in_reply_to", "trusted"}) for message in request.messages]
    kept = [sent, request.memory] if sent or request.memory is not None else []
    question = [] if request.review is None else [request.review.agent, request.review.question]
    return _digest([declaration, task, subtask, context, request.round, *kept, *question])


def stored_form(result: Result) -> str:
    """Return the answer of a result as JSON text."""
    reply = result.model_dump(mode="json", include=set(_FIELDS))
    return json.dumps({"format": _FORMAT, "reply": reply, "dissent": result.dissent, "trusted": result.trusted})


def result_of_stored(agent: Agent, request: Request, stored: object) -> Result:
    """Return a cached answer as the result of a new attempt, which has cost nothing.

    Raises `InvalidAnswer` for what cannot be read back: another format, or a value that the agent's `output` does not
    take.
    """
    try:
        given = json.loads(stored) if isinstance(stored, str) else None
        if not isinstance(given, dict) or given.get("format") != _FORMAT:
            raise InvalidAnswer("what is stored is no cached answer of this version")
        reply, dissent = Reply.model_validate_json(json.dumps(given["reply"])), tuple(given.get("dissent") or ())
        if agent.output is not None:
            value = TypeAdapter(agent.output).validate_json(json.dumps(reply.value))
            reply = reply.model_copy(update={"value": value})
    except ValidationError as error:
        raise InvalidAnswer(f"what is stored does not fit: {validation_text(error)}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidAnswer(f"what is stored cannot be read: {error}") from error
    result = result_of_answer(agent, request, reply, usage=Usage(), stopped=None)
    if result.status != "ok":
        raise InvalidAnswer(result.error.message if result.error else result.status)
    trusted = agent.is_trusted(given=request.trusted, answered=given.get("trusted") is True)
    return result.model_copy(update={"dissent": dissent, "trusted": trusted})


def _model(model: Any) -> Any:
    if model is None or isinstance(model, str):
        return model
    from guardgraph.models.identity import settings_of

    return settings_of(model)


def _tool(tool: Any) -> Any:
    if isinstance(tool, Mapping):
        return dict(tool)
    return [getattr(tool, "name", None) or _name_of(tool), getattr(tool, "description", ""), _schema_of_tool(tool)]


def _schema_of_tool(tool: Any) -> Any:
    return sorted(getattr(tool, "args", None) or ())


def _schema(output: Any) -> Any:
    try:
        return TypeAdapter(output).json_schema()
    except Exception:  # a type without a JSON schema
        return repr(output)


def _name_of(code: Any) -> Any:
    """Return the name of code; with the arguments of a `partial`, which are part of what it does."""
    if isinstance(code, partial):
        return [_name_of(code.func), code.args, code.keywords]
    named = code if hasattr(code, "__qualname__") else type(code)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}"


def _digest(facts: Any) -> str:
    text = json.dumps(facts, sort_keys=True, default=repr, ensure_ascii=True)
    return blake2b(text.encode(), digest_size=20).hexdigest()
