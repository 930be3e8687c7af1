"""The calls of models and tools that an attempt makes: the subjects of the gates `model` and `tool`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from guardgraph.guards.quotes import flat

__all__ = ("LONGEST_ARGUMENTS", "ModelCall", "ToolCall", "normalized")

LONGEST_ARGUMENTS = 2_000
"""Characters of the arguments of a tool that are kept with a call that is stored."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model: at the gate it is about to begin, in the history it may have ended."""

    id: str
    """Unique in the run."""
    at: datetime
    """When it began, in UTC."""
    agent: str = ""
    """The agent in the graph that makes it: the name of a `create_agent` agent, else that of the node."""
    model: str | None = None
    """The name of the model, where it is known."""
    messages: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    """The prompt: LangChain's messages, or the text. Empty in the history."""
    ended: datetime | None = None
    """When it has ended; `None` while it runs, and where it has failed."""
    tokens: int = 0
    """What it has taken, input and output; 0 until it has ended."""
    answer: str | None = None
    """A digest of what it has answered, tool calls included but not their ids; `None` until it has ended."""
    calls_tools: bool = False
    """Whether the answer calls tools."""
    provider: str | None = None
    """The name of its provider, where it is known."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool."""

    id: str
    """Unique in the run."""
    at: datetime
    """When it began, in UTC."""
    name: str
    """The name of the tool."""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the model has given to it, without what LangGraph injects; `input` where that is a text. Of a call from
    before an interrupt or a crash they are left out above 2,000 characters."""
    agent: str = ""
    """The agent in the graph that makes it, as that of a `ModelCall`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", MappingProxyType(dict(self.arguments)))

    @cached_property
    def signature(self) -> str:
        """The name and the normalised arguments, or a digest of long ones: equal for calls that do the same."""
        arguments = normalized(dict(self.arguments))
        if len(arguments) > LONGEST_ARGUMENTS:
            arguments = blake2b(arguments.encode(), digest_size=16).hexdigest()
        return f"{self.name}({arguments})"


def normalized(value: Any) -> str:
    """Return JSON that is equal for equal data, whatever the order of keys, white space in texts, and the type of
    whole numbers.

    >>> normalized({"q": " price of  X ", "n": 2.0}) == normalized({"n": 2, "q": "price of X"})
    True
    """
    return json.dumps(_flat(value), sort_keys=True, separators=(",", ":"), default=str)


def _flat(value: Any) -> Any:
    match value:
        case str():
            return flat(value)
        case bool():
            return value
        case int():
            return value if abs(value) < 2**53 else str(value)
        case float():
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        case Mapping():
            return {str(key): _flat(one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_flat(one) for one in value]
        case _:
            return str(value) if value is not None else None
