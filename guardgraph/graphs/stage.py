"""The stages of a pipeline: one agent, several at once, and what sends work back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, cast

from guardgraph.agents.agent import Agent
from guardgraph.state import BadGraph
from guardgraph.state.argument_checks import check_fields, must_be

__all__ = ("Parallel", "SendBack", "Stage")


@dataclass(frozen=True, slots=True)
class SendBack:
    """Whether the answer of a stage sends the work back to an earlier stage, and how often."""

    to: str
    """The name of that stage: of its agent, or of a `Parallel` block. It works again, and all stages behind it."""
    when: Callable[[Any], str | None]
    """Given the value of the stage, returns why the work goes back, or `None`. An error in it is a `PatternError`."""
    times: int = 2
    """How often at most; after that the stage has failed."""

    def __post_init__(self) -> None:
        check_fields(self, at_least={"times": 1})
        if iscoroutinefunction(self.when):
            raise BadGraph(f"`when` of `SendBack` must be a plain function that is not async, got {self.when!r}")

    def reason(self, value: Any) -> str | None:
        """Return why a value sends the work back. Raises `TypeError` where `when` returns neither a text nor `None`."""
        reason = cast("object", self.when(value))
        if reason is None or (isinstance(reason, str) and reason.strip()):
            return reason
        raise TypeError(f"`when` of `SendBack({self.to!r})` must return `None` or the reason as a text, got {reason!r}")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a pipeline: an agent, and the effect of its failure."""

    agent: Agent
    """The agent that works; its `timeout` is that of the stage."""
    critical: bool = True
    """Whether the run fails if it fails; an optional stage that fails is skipped, and is a gap."""
    send_back: SendBack | None = None
    """Makes it a quality gate: what sends the work back to an earlier stage."""

    def __post_init__(self) -> None:
        check_fields(self)


class Parallel:
    """A stage in which several agents work at once; its value is a dict of their values by the agents' names.

    What failed is missing in the dict: an agent in an optional `Stage` is a gap, any other one fails the run.
    """

    __slots__ = ("name", "stages")

    def __init__(self, *stages: Stage | Agent, name: str = "") -> None:
        """`name` is by default the names of the agents with `+` between them."""
        must_be("Parallel", "stages", stages, Sequence[Stage | Agent])
        must_be("Parallel", "name", name, str)
        if not stages:
            raise BadGraph("a `Parallel` stage needs at least one agent")
        self.stages: tuple[Stage, ...] = tuple(stage if isinstance(stage, Stage) else Stage(stage) for stage in stages)
        self.name: str = name or "+".join(stage.agent.name for stage in self.stages)
        if not self.name.strip() or not {":", "|", "/"}.isdisjoint(self.name):
            raise BadGraph(f"the name of a `Parallel` stage must not be blank or hold ':', '|' or '/', got {name!r}")
