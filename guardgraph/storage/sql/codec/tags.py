"""The names of guardgraph's, LangChain's and LangGraph's classes in stored data. They do not depend on where one lives.

The tags are part of the stored format: never change one, and never give it to another class.
"""

from __future__ import annotations

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
    "BoardEntry": state.BoardEntry,
    "Claim": state.Claim,
    "Claims": state.Claims,
    "Delivery": state.Delivery,
    "Ending": state.EarlyStop,
    "Event": state.Event,
    "Evidence": state.Evidence,
    "Gap": state.Gap,
    "GroundedClaim": state.GroundedClaim,
    "Message": state.Message,
    "Opinion": state.Opinion,
    "Outcome": state.Outcome,
    "Piece": state.ContextItem,
    "Plan": state.Plan,
    "Position": state.DelegationScope,
    "Reply": state.Reply,
    "Request": state.Request,
    "Result": state.Result,
    "ReviewRequest": state.ReviewRequest,
    "RoutingDecision": state.RoutingDecision,
    "SideBudget": state.SideBudget,
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
_NAMES = {
    kind: StoredName(f"{prefix}{name}")
    for prefix, group in ((PREFIX, OWN), ("langchain:", LANGCHAIN), ("langgraph:", _LANGGRAPH))
    for name, kind in group.items()
}


def name_of_stored(kind: type[Any]) -> StoredName:
    """Return how objects of a class are named in stored data."""
    return _NAMES.get(kind) or stored_name(kind)
