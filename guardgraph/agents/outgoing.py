"""What an answer sends to other agents: the message that LangGraph's handoff is, and what its agent keeps. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.types import Command
from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.state import Message, Request, to_json

__all__ = ("handoff_message", "memory_after")

_EXCHANGES = 10
"""How many of its own exchanges an agent that is a model, and keeps no memory itself, is given again."""
_ROUTING = frozenset({"messages", "active_agent"})
"""What LangGraph's handoff tools write for their own graph."""


def handoff_message(command: Command[Any], peers: Collection[str]) -> Message | None:
    """Return what LangGraph's `Command(goto=…)` of an agent is: a handoff to the one peer that it names, if it is one.

    Its content is what the agent has written since it was sent its request, with what else its handoff tool writes.
    """
    goto: Any = command.goto
    targets = goto if isinstance(goto, list | tuple) else [goto] if goto else []
    names = {str(getattr(target, "node", target)) for target in targets}
    if len(names) != 1 or not names <= set(peers):
        return None
    update: Any = command.update
    given: Mapping[str, Any] = update if isinstance(update, Mapping) else {}
    more = {name: to_json(value) for name, value in given.items() if name not in _ROUTING}
    text = _written(given.get("messages") or ())
    content: JsonValue = {"text": text, **more} if more else text or None
    return Message(recipients=(names.pop(),), performative="hand_off", content=content)


def memory_after(agent: Agent, request: Request, value: JsonValue, messages: Sequence[Message]) -> JsonValue:
    """Return what an agent that is a model, or a graph of messages, is given again: its latest 10 exchanges.

    `None` for other agents: what these keep, they return as `Reply.memory`.
    """
    if agent.kind not in ("model", "messages"):
        return None
    before = request.memory if isinstance(request.memory, list) else []
    exchange: dict[str, JsonValue] = {
        "received": [_short(message, sender=message.sender) for message in request.messages],
        "sent": [_short(message, recipients=list(message.recipients)) for message in messages],
        "answered": value,
    }
    latest: JsonValue = {name: part for name, part in exchange.items() if part}
    return [*before, latest][-_EXCHANGES:]


def _short(message: Message, **who: JsonValue) -> JsonValue:
    return {**who, "performative": message.performative, "content": message.content}


def _written(messages: Any) -> str:
    """Return the texts of the AI's messages after the last one of a human."""
    texts = list[str]()
    for message in messages if isinstance(messages, list | tuple) else ():
        if isinstance(message, HumanMessage):
            texts.clear()
        elif isinstance(message, AIMessage) and message.text.strip():
            texts.append(message.text)
    return "\n\n".join(texts)
