"""The facts of a team that its gates need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph.graph.state import CompiledStateGraph

from guardgraph.agents.agent import Agent, unwrapped
from guardgraph.guards import Guard
from guardgraph.nodes.state_update import Channel
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import ContextItem, Gate

__all__ = ("EXIT", "OWN_GAPS", "TeamSpec", "nested_team")

EXIT = "guard_exit"
"""The node in which every run of a team ends."""
OWN_GAPS = frozenset({"plan", "result", "run"})
"""The names of gaps of the team itself: no subtask may have such an id."""


@dataclass(frozen=True, slots=True)
class TeamSpec:
    """A team as its builder has made it."""

    name: str
    guards: tuple[Guard, ...]
    channels: Mapping[str, Channel]
    """The channels of its state, with their reducers."""
    agents: Mapping[str, Agent] = field(default_factory=dict[str, Agent])
    """Its agents by name, fallbacks included."""
    fallbacks: Mapping[str, str] = field(default_factory=dict[str, str])
    """The agent that is asked first, by the name of its fallback."""
    workers: frozenset[str] = frozenset()
    """The names of the agents to which work is delegated: the guards of `dispatch` judge what is sent to them."""
    reviewers: frozenset[str] = frozenset()
    """The names of the agents that give opinions, fallbacks included: the guards of `dispatch` judge what they get."""
    review_steps: Mapping[str, int] = field(default_factory=dict[str, int])
    """The supersteps that a review adds, by the nodes of the gates at which there may be one."""
    drafters: frozenset[str] = frozenset()
    """The names of the agents that write a draft again which a guard of `exit` gives back."""
    context: Mapping[str, tuple[ContextItem, ...]] = field(default_factory=dict[str, tuple[ContextItem, ...]])
    """Context that is added to every request to an agent."""
    concurrency: int | None = None
    """How many of its agents work at a time; `None` sets no limit."""
    board: Board | None = None
    """The board that its agents share."""
    author: Agent | None = None
    """The agent that writes the value of the team, once all other work has ended."""
    required: tuple[Agent, ...] = ()
    """The agents whose work the value needs."""
    rounds: int | None = None
    """How many rounds its routes begin at most, where that is known."""
    requests: tuple[int, int] | None = None
    """To how many workers its routes send in a round, where that is known: usually, and at most."""
    repeats: int | None = None
    """To how many workers its routes send one subtask at most, one after the other; `None` where each goes to one."""
    accepts: frozenset[str] | None = None
    """The types of events that it takes from outside; `None` for a team without events."""
    before_exit: Callable[[Any], None] | None = None
    """Called with the `GateContext` of the exit, before it judges: it writes what the state alone does not show."""
    kinds: Mapping[str, tuple[Gate, ...]] = field(default_factory=dict[str, tuple[Gate, ...]])
    """The guards that judge in each of its gates, by the gate's node."""
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The destinations that were declared for the routes of its gates, by the gate's node."""
    nodes: Mapping[str, str] = field(default_factory=dict[str, str])
    """The nodes of its gates, by the name of the gate."""
    steps: Mapping[str, int] = field(default_factory=dict[str, int])
    """Supersteps from each node to the next gate, both included."""
    ends: frozenset[str] = field(init=False, default=frozenset([EXIT]))
    """The nodes in which a run ends."""
    leads: Mapping[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """The gate to which each node leads, and after how many supersteps; parallel sends have to meet in one gate."""

    def __post_init__(self) -> None:
        if self.author is not None:
            object.__setattr__(self, "ends", frozenset([EXIT, *(one.name for one in self.author.fallback_chain)]))

    @property
    def closing(self) -> int:
        """Supersteps from a gate to the end: the author, if there is one, and `guard_exit`, with a review there."""
        return (1 if self.author is None else 2) + self.review_steps.get(EXIT, 0)

    def names_of(self, agent: Agent) -> frozenset[str]:
        """Return the name of an agent, and that of the one in whose place it works."""
        return frozenset([agent.name, self.fallbacks.get(agent.name, agent.name)])

    def steps_to_end(self, node: str) -> int:
        """Return the supersteps of a run that goes on in `node` and then ends."""
        if node in self.ends:
            return 1 + self.review_steps.get(EXIT, 0) if node == EXIT else self.closing
        return self.steps.get(node, 2) + self.closing


def nested_team(agent: Agent) -> TeamSpec | None:
    """Return the team that an agent runs; `None` where it runs something else."""
    graph = unwrapped(agent.run)
    team = getattr(graph.builder, "team", None) if isinstance(graph, CompiledStateGraph) else None
    return team if isinstance(team, TeamSpec) else None
