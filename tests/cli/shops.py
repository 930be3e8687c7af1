"""A reactive team for the tests of the command: one agent that handles items, until `close` comes."""

from __future__ import annotations

from typing import Any

from guardgraph.agents import Agent
from guardgraph.graphs import Subscription, pipeline, reactive
from guardgraph.state import Request

__all__ = ("HANDLED", "POISON", "shop", "stage")

HANDLED: list[Any] = []
"""The data of the items that were handled in this process."""
POISON: set[Any] = set()
"""The data at which the agent fails."""


def _work(request: Request) -> str:
    assert request.event is not None
    if request.event.data in POISON:
        raise ValueError("poison")
    HANDLED.append(request.event.data)
    return "done"


def shop() -> Any:
    """Return the team."""
    worker = Subscription(Agent("worker", run=_work), ["item"])
    return reactive([worker], accepts=["item", "close"], until=["close"])


def stage() -> Any:
    """Return a team that is not reactive."""
    return pipeline([Agent("stage", run=str)])
