"""A stage of a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from guardgraph.agents.agent import Agent
from guardgraph.state.argument_checks import check_fields

__all__ = ("Stage",)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline: an agent, and the effect of its failure."""

    agent: Agent
    """The agent that works; its `timeout` is that of the stage."""
    critical: bool = True
    """Whether the run fails if it fails; an optional stage that fails is skipped, and is a gap."""

    def __post_init__(self) -> None:
        check_fields(self)
