"""The integrity label of an attempt while it runs: it begins as that of its request, and only goes down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ("IntegrityRecord",)


@dataclass(slots=True)
class IntegrityRecord:
    """Whether all that an attempt was given, and has received since, is trusted.

    It is a dynamic taint label of one bit, as in information-flow control: what the code of an agent reads while it
    works counts as what it was given (Costa et al., "Securing AI Agents with Information-Flow Control", 2025,
    arXiv:2505.23643).
    """

    trusted: bool = False
    """The label. Threads may lower it at any time; nothing raises it."""
    trusts_calls: bool = False
    """Whether the agent declares that its models and tools add nothing untrusted (`integrity="inherits"`)."""
    untrusted_tools: frozenset[str] = frozenset()
    """The names of tools that add something untrusted all the same."""
    knows_tools: bool = False
    """Whether all its tools are known, so that those that are not among these are trusted."""
    may_act: bool = field(init=False, default=False)
    """Whether all that it was given, and what its tools have returned since, is trusted: then it may call reserved
    tools. What its own models answer does not count: it was sent its work with these tools."""

    def __post_init__(self) -> None:
        self.may_act = self.trusted

    def lower(self) -> None:
        """Note that something untrusted was received."""
        self.trusted = self.may_act = False

    def recall(self, messages: Sequence[Any] | None) -> None:
        """Note what was received before an interrupt, by the messages of then; `None` where they are not known."""
        if messages is None:
            self.lower()
        for message in messages or ():
            kind = getattr(message, "type", None)
            if kind == "tool":
                self.note_tool(message.name)
            elif kind == "ai":
                self.note_call()

    def note_call(self) -> None:
        """Note the call of a model: what it returns is untrusted, unless the agent declares otherwise."""
        if not self.trusts_calls:
            self.trusted = False

    def note_tool(self, name: str | None) -> None:
        """Note that a tool has returned: that is untrusted, unless the agent declares otherwise."""
        if (
            not (self.trusts_calls or self.knows_tools)
            or name in self.untrusted_tools
            or (name is None and self.untrusted_tools)
        ):
            self.lower()
        elif not self.trusts_calls:
            self.trusted = False
