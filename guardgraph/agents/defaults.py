"""What a pattern gives to an agent that is a model, where it was declared without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardgraph.agents.agent import Agent

__all__ = ("with_defaults",)


def with_defaults(agent: Agent, *, output: Any, instructions: str, attempts: int = 1) -> Agent:
    """Return an agent whose model has an output type, instructions, and at least so many attempts.

    So has each of its fallbacks. What was declared is kept, and an agent that is no model is left as it is.
    """
    if agent.fallback is not None:
        fallback = with_defaults(agent.fallback, output=output, instructions=instructions, attempts=attempts)
        agent = agent if fallback is agent.fallback else replace(agent, fallback=fallback)
    if agent.kind != "model":
        return agent
    return replace(
        agent,
        output=output if agent.output is None else agent.output,
        instructions=agent.instructions or instructions,
        attempts=max(agent.attempts, attempts),
    )
