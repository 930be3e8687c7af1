"""What one guard says of one subject."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Action", "Gate", "Verdict")

Gate = Literal["admission", "dispatch", "handoff", "round", "exit"]
Action = Literal["pass", "alert", "trip"]


class Verdict(FrozenModel):
    """One guard's word on one subject."""

    guard: str
    """The name of the guard."""
    gate: Gate
    """Where it judged."""
    subject: str
    """The id of what it judged."""
    action: Action = "pass"
    """`pass`, `alert` (goes on, but somebody should know) or `trip`."""
    reason: str = ""
    """Why; goes back to the agent on a retry."""
    measured: JsonValue = None
    """What was measured."""
    limit: JsonValue = None
    """What it was measured against."""
