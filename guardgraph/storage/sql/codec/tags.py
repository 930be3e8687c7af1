"""The names of guardgraph's, LangChain's and LangGraph's classes in stored data. They do not depend on where one lives.

The tags are part of the stored format: never change one, and never give it to another class. `_FORMER` holds what older
data calls them, which is where they lived when it was written.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import langchain_core.messages as messages
from langchain_core.documents import Document
from langgraph.checkpoint.serde import types as langgraph_serde
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, Send, TimeoutPolicy

from guardgraph import state
from guardgraph.state import StoredName, stored_name

__all__ = ("DELTA_SNAPSHOT", "LANGCHAIN", "OWN", "PREFIX", "name_of_stored")

PREFIX = "guardgraph:"
"""What the tags of guardgraph's own classes begin with."""

OWN: dict[str, type[Any]] = {
    "AgentError": state.AgentError,
    "Allowance": state.Allowance,
    "Ending": state.EarlyStop,
    "Evidence": state.Evidence,
    "Gap": state.Gap,
    "Outcome": state.Outcome,
    "Piece": state.ContextItem,
    "Plan": state.Plan,
    "Position": state.DelegationScope,
    "Reply": state.Reply,
    "Request": state.Request,
    "Result": state.Result,
    "RoutingDecision": state.RoutingDecision,
    "Subtask": state.Subtask,
    "Task": state.Task,
    "Usage": state.Usage,
    "Verdict": state.Verdict,
}
"""guardgraph's own classes, by the second half of their tags."""

DELTA_SNAPSHOT = langgraph_serde._DeltaSnapshot  # pyright: ignore[reportPrivateUsage]
"""What a `DeltaChannel` hands to every saver; LangGraph has no public name for it."""
_LANGGRAPH: dict[str, type[Any]] = {
    "Command": Command,
    "DeltaSnapshot": DELTA_SNAPSHOT,
    "Interrupt": Interrupt,
    "Item": Item,
    "Overwrite": Overwrite,
    "Send": Send,
    "TimeoutPolicy": TimeoutPolicy,
}
LANGCHAIN: dict[str, type[Any]] = {
    "AIMessage": messages.AIMessage,
    "AIMessageChunk": messages.AIMessageChunk,
    "BaseMessage": messages.BaseMessage,
    "BaseMessageChunk": messages.BaseMessageChunk,
    "ChatMessage": messages.ChatMessage,
    "ChatMessageChunk": messages.ChatMessageChunk,
    "Document": Document,
    "FunctionMessage": messages.FunctionMessage,
    "FunctionMessageChunk": messages.FunctionMessageChunk,
    "HumanMessage": messages.HumanMessage,
    "HumanMessageChunk": messages.HumanMessageChunk,
    "RemoveMessage": messages.RemoveMessage,
    "SystemMessage": messages.SystemMessage,
    "SystemMessageChunk": messages.SystemMessageChunk,
    "ToolMessage": messages.ToolMessage,
    "ToolMessageChunk": messages.ToolMessageChunk,
}
"""LangChain's messages and documents, by the second half of their tags."""
_FORMER: dict[str, tuple[str, ...]] = {
    "guardgraph.state.allowance": ("Allowance",),
    "guardgraph.state.outcome": ("Outcome",),
    "guardgraph.state.plan": ("Plan", "Subtask"),
    "guardgraph.state.position": ("Position",),
    "guardgraph.state.reply": ("Evidence", "Reply"),
    "guardgraph.state.request": ("Piece", "Request"),
    "guardgraph.state.result": ("AgentError", "Gap", "Result"),
    "guardgraph.state.run_state": ("Ending",),
    "guardgraph.state.task": ("Task",),
    "guardgraph.state.usage": ("Usage",),
    "guardgraph.state.verdict": ("Verdict",),
    "langchain_core.documents.base": ("Document",),
    "langchain_core.messages.ai": ("AIMessage", "AIMessageChunk"),
    "langchain_core.messages.base": ("BaseMessage", "BaseMessageChunk"),
    "langchain_core.messages.chat": ("ChatMessage", "ChatMessageChunk"),
    "langchain_core.messages.function": ("FunctionMessage", "FunctionMessageChunk"),
    "langchain_core.messages.human": ("HumanMessage", "HumanMessageChunk"),
    "langchain_core.messages.modifier": ("RemoveMessage",),
    "langchain_core.messages.system": ("SystemMessage", "SystemMessageChunk"),
    "langchain_core.messages.tool": ("ToolMessage", "ToolMessageChunk"),
    "langgraph.checkpoint.serde.types": ("_DeltaSnapshot",),
    "langgraph.store.base": ("Item",),
    "langgraph.types": ("Command", "Interrupt", "Overwrite", "Send", "TimeoutPolicy"),
}

_RENAMED: dict[str, dict[str, str]] = {"guardgraph:Position": {"work": "spending_account"}}
"""The present names of fields that older data holds under other names, by tag."""


def _names() -> dict[type[Any], StoredName]:
    former = {name.lstrip("_"): f"{module}:{name}" for module, names in _FORMER.items() for name in names}
    groups = ((PREFIX, OWN), ("langchain:", LANGCHAIN), ("langgraph:", _LANGGRAPH))
    return {
        kind: StoredName(
            f"{prefix}{name}",
            (former[name],) if name in former else (),
            MappingProxyType(_RENAMED.get(f"{prefix}{name}", {})),
        )
        for prefix, group in groups
        for name, kind in group.items()
    }


_NAMES = _names()


def name_of_stored(kind: type[Any]) -> StoredName:
    """Return how objects of a class are named in stored data."""
    return _NAMES.get(kind) or stored_name(kind)
