"""Which tools an agent may call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from guardgraph.guards.calls import ToolCall
from guardgraph.guards.composition import Composable
from guardgraph.guards.context import GuardContext
from guardgraph.guards.on_trip import OnTrip, Retry
from guardgraph.state import BadGraph, Gate, Verdict
from guardgraph.state.argument_checks import check_fields

__all__ = ("AllowedTools",)

_Tools = Collection[str]


@dataclass(frozen=True, slots=True)
class AllowedTools(Composable):
    """Refuse calls of tools that are not allowed, before they happen.

    `allowed` names the tools of all agents (`{"search", "read"}`), or of each agent (`{"writer": {"search"}}`); an
    agent that it does not name may call none. An agent inside a graph (the name of a `create_agent` agent, or of a
    node) goes before the agent of the team that runs the graph. With `Retry(n)` the model gets the reason as the answer
    of the tool, at most n times; then the attempt is stopped.
    """

    allowed: Mapping[str, _Tools] | _Tools
    on_trip: OnTrip = Retry(3)
    gates = frozenset[Gate]({"tool"})

    def __post_init__(self) -> None:
        check_fields(self, "on_trip")
        given: object = self.allowed
        if isinstance(given, Mapping):
            by_agent = cast("Mapping[object, object]", given)
            exact = {agent: _names(tools, f"`allowed` of {agent!r}") for agent, tools in by_agent.items()}
            object.__setattr__(self, "allowed", MappingProxyType(exact))
        else:
            object.__setattr__(self, "allowed", _names(given, "`allowed`"))

    def __hash__(self) -> int:
        """Return a hash of the names."""
        return hash((frozenset(self.allowed), self.on_trip))

    def __call__(self, context: GuardContext) -> Verdict:
        """Trip on a tool that the agent may not call."""
        call = context.subject
        if not isinstance(call, ToolCall):
            return context.verdict(self, trips=False)
        agent = context.agent.name if context.agent else ""
        tools = self.allowed
        if isinstance(tools, Mapping):
            agent = call.agent if call.agent in tools else agent
            tools = tools.get(agent, ())
        else:
            agent = call.agent if agent and call.agent else agent  # of a loop without a name it is that of a node
        listed = ", ".join(map(repr, sorted(tools))) or "none"
        who = repr(agent) if agent else "the agent"
        reason = f"{who} may not call the tool {call.name!r}; allowed: {listed}"
        return context.verdict(self, trips=call.name not in tools, reason=reason)


def _names(tools: object, what: str) -> frozenset[str]:
    """Return the names of tools. Raises `BadGraph` for anything else."""
    named = (
        [*cast("Collection[object]", tools)] if isinstance(tools, Collection) and not isinstance(tools, str) else [0]
    )
    for name in named:
        own: object = getattr(name, "name", None)  # of a tool that is given in place of its name
        if isinstance(own, str):
            raise BadGraph(
                f"AllowedTools: {what} must be a set of names of tools, such as {own!r}; got a {type(name).__name__}"
            )
        if not isinstance(name, str) or not name:
            raise BadGraph(f"AllowedTools: {what} must be a set of names of tools, got {tools!r}")
    return frozenset(cast("list[str]", named))
