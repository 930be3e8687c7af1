"""The integrity label of an attempt while it runs: it begins as that of its request, and only goes down."""

from __future__ import annotations

from dataclasses import dataclass

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

    def lower(self) -> None:
        """Note that something untrusted was received."""
        self.trusted = False

    def note_call(self) -> None:
        """Note the call of a model: what it returns is untrusted, unless the agent declares otherwise."""
        if not self.trusts_calls:
            self.trusted = False

    def note_tool(self, name: str | None) -> None:
        """Note that a tool has returned: that is untrusted, unless the agent declares otherwise."""
        if not self.trusts_calls or name in self.untrusted_tools or (name is None and self.untrusted_tools):
            self.trusted = False
