"""What is declared of a team: its agents, its gates, and nodes of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.guards import Guard
from guardgraph.nodes.gate import Decide
from guardgraph.nodes.gate_context import Route
from guardgraph.nodes.team_spec import EXIT
from guardgraph.state import ContextItem

__all__ = ("Declaration", "GateDeclaration", "Member", "OwnNode")


@dataclass(frozen=True, slots=True)
class Member:
    """An agent, and what becomes of its answers."""

    agent: Agent
    to: str
    """The name of the gate that reviews them."""
    channel: str
    context: tuple[ContextItem, ...]
    drafts: bool


@dataclass(frozen=True, slots=True)
class GateDeclaration:
    """A gate, as it was declared."""

    decide: Decide
    agents: tuple[Agent, ...]
    then: Route
    goes: tuple[str | Agent, ...]


@dataclass(frozen=True, slots=True)
class OwnNode:
    """A node of the user's own."""

    node: Callable[..., Any]
    goes: tuple[str, ...]
    is_routing: bool
    """Whether it says by a `Command` where it goes."""


@dataclass(slots=True)
class Declaration:
    """A team in the making."""

    name: str
    guards: tuple[Guard, ...]
    begin: Sequence[Agent] | Route
    goes: tuple[str | Agent, ...]
    """Where `begin` may lead."""
    author: Agent | None
    expected: tuple[Agent, ...]
    concurrency: int | None
    state: type[Any]
    members: list[Member] = field(default_factory=list[Member])
    gates: dict[str, GateDeclaration] = field(default_factory=dict[str, GateDeclaration])
    own: dict[str, OwnNode] = field(default_factory=dict[str, OwnNode])

    @property
    def writers(self) -> tuple[Agent, ...]:
        """The author and its fallbacks."""
        return self.author.fallback_chain if self.author else ()

    @property
    def agents(self) -> list[Agent]:
        """All agents, fallbacks included."""
        return [*(agent for member in self.members for agent in member.agent.fallback_chain), *self.writers]

    def node_of(self, name: str | Agent) -> str:
        """Return the node of a gate, of an agent, or of this name."""
        if isinstance(name, Agent):
            return name.name
        return f"guard_{name}" if name in self.gates else name

    def nodes_of(self, goes: Sequence[str | Agent]) -> tuple[str, ...]:
        """Return the nodes of all that is named, each once."""
        return tuple(dict.fromkeys(map(self.node_of, goes)))

    def leads(self) -> dict[str, tuple[str, int]]:
        """Return the gate to which each node leads, and after how many supersteps."""
        leads = {f"guard_{name}": (f"guard_{name}", 0) for name in self.gates} | {EXIT: (EXIT, 0)}
        leads |= {agent.name: (f"guard_{one.to}", 1) for one in self.members for agent in one.agent.fallback_chain}
        leads |= {agent.name: (EXIT, 1) for agent in self.writers}
        for _ in self.own:  # each pass follows the nodes one step further
            for name, own in self.own.items():
                gate, count = leads.get(self.node_of(own.goes[0]), ("", 0))
                if gate and not own.is_routing:
                    leads[name] = (gate, count + 1)
        return leads
