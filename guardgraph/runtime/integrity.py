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

    def lower(self) -> None:
        """Note that something untrusted was received."""
        self.trusted = False

    def note_call(self) -> None:
        """Note that a model or a tool was called: what it returns is untrusted, unless the agent declares otherwise."""
        if not self.trusts_calls:
            self.trusted = False
