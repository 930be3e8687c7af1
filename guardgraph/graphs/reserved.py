"""What `Trust` guards reserve: checks where a team is declared, and for its whole tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guardgraph.agents.agent import Agent
from guardgraph.guards import Guard, Trust
from guardgraph.state import BadGraph

__all__ = ("check_reserved", "reserved_by", "reserved_in")


def reserved_by(guards: Iterable[Guard]) -> frozenset[str]:
    """Return the names of agents and tools that guards reserve for trusted requests."""
    return frozenset().union(*(guard.reserved for guard in guards if isinstance(guard, Trust)))


def reserved_in(agent: Agent, names: frozenset[str]) -> list[str]:
    """Return which of `names` an agent is or has: its own name, and those of its tools."""
    return sorted({agent.name, *agent.tool_names} & names)


def check_reserved(guards: Sequence[Guard], agents: Iterable[Agent], workers: frozenset[str]) -> None:
    """Raise `BadGraph` where what is reserved belongs to an agent to which no gate sends work by its guards."""
    for agent in agents:
        found = [] if agent.name in workers else reserved_in(agent, reserved_by((*guards, *agent.guards)))
        if found:
            raise BadGraph(
                f"Trust reserves {', '.join(map(repr, found))}, but {agent.name!r} is no worker: the guards of "
                "`dispatch` do not judge what it is given; give that to a worker"
            )
