"""The circuit of an agent, as a gate has read it for a guard."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ("Circuit", "CircuitState")

CircuitState = Literal["closed", "open", "half_open"]
"""`closed`: it works. `open`: it has failed too often, and is refused. `half_open`: one attempt may show that it works
again."""


class Circuit(NamedTuple):
    """What is known of an agent's latest attempts, in all runs that share a database."""

    agent: str
    """The agent, after the names of its teams, as `supervisor/researcher`."""
    state: CircuitState = "closed"
    attempts: int = 0
    """How many attempts have ended within the window."""
    failures: int = 0
    """How many of them have failed."""
    seconds: float = 0.0
    """How long it stays open."""
    is_probe: bool = False
    """Whether the attempt that is judged is the one that is let through to show whether the agent works again."""

    @property
    def rate(self) -> float:
        """Which part of the attempts has failed; 0 where there are none."""
        return self.failures / self.attempts if self.attempts else 0.0
