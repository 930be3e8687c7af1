"""The circuit of an agent, a tool or a model, as a gate has read it for a guard."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ("LONGEST_LOG", "Circuit", "CircuitState")

LONGEST_LOG = 200
"""How many attempts of an agent, or calls of a tool or model, are known at most, the latest ones."""

CircuitState = Literal["closed", "open", "half_open"]
"""`closed`: it works. `open`: it has failed too often, and is refused. `half_open`: one attempt may show that it works
again."""


class Circuit(NamedTuple):
    """What is known of the latest attempts of an agent, or calls of a tool or model, in all runs of a database."""

    agent: str
    """The agent, after the names of its teams, as `supervisor/researcher`; or `tool:search`, `model:openai:gpt-5`."""
    state: CircuitState = "closed"
    attempts: int = 0
    """How many attempts or calls have ended within the window."""
    failures: int = 0
    """How many of them have failed."""
    seconds: float = 0.0
    """How long it stays open."""
    is_probe: bool = False
    """Whether the attempt or call that is judged is let through to show whether it works again."""

    @property
    def rate(self) -> float:
        """Which part of the attempts has failed; 0 where there are none."""
        return self.failures / self.attempts if self.attempts else 0.0
