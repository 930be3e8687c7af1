"""Peers of a swarm that are functions, what they send, and how a swarm of them ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guardgraph.agents import Agent
from guardgraph.state import Message, Outcome, Reply, Request

Run = Callable[[Request], Any]


def to(name: str, content: Any = "?", **fields: Any) -> Message:
    return Message(recipients=(name,), content=content, **fields)


def ask(name: str, content: Any = "?") -> Reply:
    return Reply(messages=(to(name, content, performative="ask"),))


def hand_off(name: str) -> Reply:
    return Reply(messages=(to(name, "yours", performative="hand_off"),))


def peers(**runs: Run) -> list[Agent]:
    return [Agent(name, run=run) for name, run in runs.items()]


def state_of(graph: Any, task: str = "the task") -> dict[str, Any]:
    """Return the whole state at the end of a run."""
    return list(graph.compile().stream({"task": task}, stream_mode="values"))[-1]


def outcome_of(graph: Any) -> Outcome:
    return graph.compile().invoke({"task": "the task"})["outcome"]


def gaps_of(outcome: Outcome) -> list[tuple[str, str]]:
    return [(gap.subtask, gap.reason) for gap in outcome.gaps]
