"""The verdict of a guard on one subject."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from guardgraph.state.frozen_model import FrozenModel

__all__ = ("Action", "Gate", "Verdict")

Gate = Literal["admission", "dispatch", "handoff", "round", "exit", "model", "tool"]
Action = Literal["pass", "alert", "trip"]


class Verdict(FrozenModel):
    """The verdict of one guard on one subject."""

    guard: str
    """The name of the guard."""
    gate: Gate
    """The gate at which it was evaluated."""
    subject: str
    """The id of what it was evaluated on."""
    action: Action = "pass"
    """`pass`, `alert` (goes on, but somebody should know) or `trip`."""
    reason: str = ""
    """Why; goes back to the agent on a retry."""
    measured: JsonValue = None
    """What was measured."""
    limit: JsonValue = None
    """What it was measured against."""
    account: str = ""
    """At an alert of a side account: which one, in words."""
