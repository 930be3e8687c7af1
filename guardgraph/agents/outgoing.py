"""What an answer sends to other agents: the message that LangGraph's handoff is, and what its agent keeps. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Command
from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.state import Message, Request, to_json

__all__ = ("handoff_message", "handoff_targets", "memory_after", "message_id")

_EXCHANGES = 10
"""How many of its own exchanges an agent that is a model, and keeps no memory itself, is given again."""
_ROUTING = frozenset({"messages", "active_agent"})
"""What LangGraph's handoff tools write for their own graph."""


def handoff_message(command: Command[Any], peers: Collection[str]) -> Message | None:
    """Return what LangGraph's `Command(goto=…)` of an agent is: a handoff to the one peer that it names, if it is one.

    Its content is what the agent has written since it was sent its request, with what else its handoff tool writes.
    Raises `ValueError` for what has no JSON form.
    """
    targets = handoff_targets(command)
    names = {str(getattr(target, "node", target)) for target in targets}
    if len(names) != 1 or not names <= set(peers):
        return None
    given = {key: part for target in targets for key, part in _fields(getattr(target, "arg", None)).items()}
    given.update(_fields(command.update))
    more = {name: to_json(value) for name, value in given.items() if name not in _ROUTING}
    text = _written(given.get("messages") or ())
    content: JsonValue = {"text": text, **more} if more else text or None
    return Message(recipients=(names.pop(),), performative="hand_off", content=content)


def handoff_targets(command: Command[Any]) -> list[Any]:
    """Return where a `Command` leads: names, or LangGraph's `Send`s."""
    goto: Any = command.goto
    return [*goto] if isinstance(goto, list | tuple) else [goto] if goto else []


def message_id(result: str, number: int) -> str:
    """Return the id of one message of a result; they are numbered from 1."""
    return f"{result}/m{number}"


def memory_after(agent: Agent, request: Request, value: JsonValue, messages: Sequence[Message]) -> JsonValue:
    """Return what an agent that is a model, or a graph of messages, is given again: its latest 10 exchanges.

    `None` for other agents: what these keep, they return as `Reply.memory`.
    """
    if agent.kind not in ("model", "messages"):
        return None
    before = request.memory if isinstance(request.memory, list) else []
    exchange: dict[str, JsonValue] = {
        "received": [_short(message, sender=message.sender, id=message.id) for message in request.messages],
        "sent": [
            _short(message, recipients=list(message.recipients), id=message_id(request.id, number))
            for number, message in enumerate(messages, 1)
        ],
        "answered": value,
    }
    latest: JsonValue = {name: part for name, part in exchange.items() if part}
    return [*before, latest][-_EXCHANGES:]


def _short(message: Message, **who: JsonValue) -> JsonValue:
    return {**who, "performative": message.performative, "content": message.content}


def _fields(update: Any) -> dict[str, Any]:
    """Return what a `Command` or a `Send` writes, by channel: a mapping, or pairs."""
    if isinstance(update, Mapping):
        return {**update}
    pairs = update if isinstance(update, list | tuple) else ()
    return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, tuple) and len(pair) == 2}


def _written(messages: Any) -> str:
    """Return the texts of the AI's messages after the last one of a human."""
    texts = list[str]()
    for message in messages if isinstance(messages, list | tuple) else ():
        if isinstance(message, HumanMessage):
            texts.clear()
        elif isinstance(message, AIMessage) and message.text.strip():
            texts.append(message.text)
    return "\n\n".join(texts)
