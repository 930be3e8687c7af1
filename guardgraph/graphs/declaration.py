"""The declaration of a team, and its checks: guards, state, and how agents, gates and nodes are connected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from inspect import iscoroutinefunction
from typing import Annotated, Any, get_origin, get_type_hints

from langgraph.graph import END, START

from guardgraph.agents.agent import Agent
from guardgraph.graphs.idle_guards import check_idle_guards, check_own_guards
from guardgraph.graphs.reserved import check_reserved
from guardgraph.guards import Breaker, Guard, applying, conditions, leaves, name_of
from guardgraph.nodes.downgrading import steps_of
from guardgraph.nodes.gate import Decide
from guardgraph.nodes.gate_context import GateContext, Route
from guardgraph.nodes.team_spec import EXIT
from guardgraph.runtime.boards.declaration import Board
from guardgraph.state import BadGraph, ContextItem, Gate, Result, RunState, nearest_text

__all__ = (
    "KINDS",
    "Declaration",
    "GateDeclaration",
    "Member",
    "OwnNode",
    "check_state",
    "check_team",
    "check_unique",
)

KINDS: dict[str, tuple[Gate, ...]] = {"dispatch": ("round", "dispatch"), "handoff": ("handoff",)}
"""The guards that judge in a gate, by the beginning of its name."""


@dataclass(frozen=True, slots=True)
class Member:
    """An agent, and where its answers go."""

    agent: Agent
    gate: str
    """The name of the gate that reviews them."""
    channel: str
    context: tuple[ContextItem, ...]
    can_rewrite: bool
    sends_messages: bool = False
    """Whether they send messages to each other."""
    writes: Callable[[Result], dict[str, Any]] | None = None
    """The update of a result; by default it is written to `channel`."""


@dataclass(frozen=True, slots=True)
class GateDeclaration:
    """A gate, as it was declared."""

    decide: Decide
    agents: tuple[Agent, ...]
    route: Route
    destinations: tuple[str | Agent, ...]
    reads_plans: bool = True
    """Whether the guards of `round` judge in a gate `dispatch`."""


@dataclass(frozen=True, slots=True)
class OwnNode:
    """A node of the user's own."""

    node: Callable[..., Any]
    destinations: tuple[str, ...]
    is_routing: bool
    """Whether it returns a `Command` with its destination."""


@dataclass(slots=True)
class Declaration:
    """All that was added to a team."""

    name: str
    guards: tuple[Guard, ...]
    entry: Sequence[Agent] | Route
    destinations: tuple[str | Agent, ...]
    """The possible destinations of `entry`."""
    author: Agent | None
    required: tuple[Agent, ...]
    concurrency: int | None
    skill_limits: Mapping[str, int]
    """How many agents with a skill work at a time."""
    state: type[Any]
    board: Board | None = None
    """What its agents share."""
    reviewers: tuple[Agent, ...] = ()
    """The agents that give opinions where guards name them."""
    rounds: int | None = None
    requests: tuple[int, int] | None = None
    repeats: int | None = None
    accepts: frozenset[str] | None = None
    before_exit: Callable[[GateContext], None] | None = None
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
        heads = (*(member.agent for member in self.members), *(self.author,) * bool(self.author), *self.reviewers)
        return [agent for head in heads if head is not None for agent in head.fallback_chain]

    @property
    def reviewer_names(self) -> frozenset[str]:
        """The names of the reviewers and of their fallbacks."""
        return frozenset(agent.name for head in self.reviewers for agent in head.fallback_chain)

    @property
    def workers(self) -> frozenset[str]:
        """The names of the agents to which work is delegated: the guards of `dispatch` judge what they are sent."""
        working = (member.agent for member in self.members if member.channel == "results")
        return frozenset(agent.name for head in working for agent in head.fallback_chain)

    def node_of(self, name: str | Agent) -> str:
        """Return the node of a gate, of an agent, or of this name."""
        if isinstance(name, Agent):
            return name.name
        return f"guard_{name}" if name in self.gates else name

    def nodes_of(self, destinations: Sequence[str | Agent]) -> tuple[str, ...]:
        """Return the nodes of all that is named, each once."""
        return tuple(dict.fromkeys(map(self.node_of, destinations)))

    def kinds_of(self, gate: str) -> tuple[Gate, ...]:
        """Return the guards that judge in the gate of this name."""
        reads_plans = self.gates[gate].reads_plans
        return tuple(kind for kind in KINDS[gate.partition("_")[0]] if kind != "round" or reads_plans)

    @property
    def judging(self) -> set[Gate]:
        """The gates at which anything is judged."""
        found: set[Gate] = {"admission", "exit", *(("dispatch",) if self.workers else ())}
        calls: tuple[Gate, ...] = ("model", "tool") if self.agents else ()
        return found.union(calls, *map(self.kinds_of, self.gates))

    def places(self) -> dict[str, set[Gate]]:
        """Return the gates at which the work of each agent is judged."""
        found: dict[str, set[Gate]] = {agent.name: {"exit", "model", "tool"} for agent in self.writers}
        found |= {name: {"dispatch", "model", "tool"} for name in self.reviewer_names}
        for member in self.members:
            judged: set[Gate] = {"round"} if member.channel == "plans" else {"dispatch", "handoff"}
            more: set[Gate] = {"exit"} if member.can_rewrite else set()
            found |= {agent.name: {"model", "tool", *judged, *more} for agent in member.agent.fallback_chain}
        return found

    def leads(self) -> dict[str, tuple[str, int]]:
        """Return the gate to which each node leads, and after how many supersteps."""
        leads = {f"guard_{name}": (f"guard_{name}", 0) for name in self.gates} | {EXIT: (EXIT, 0)}
        leads |= {agent.name: (f"guard_{one.gate}", 1) for one in self.members for agent in one.agent.fallback_chain}
        leads |= {agent.name: (EXIT, 1) for agent in self.writers}
        for _ in self.own:  # each pass follows the nodes one step further
            for name, own in self.own.items():
                gate, count = leads.get(self.node_of(own.destinations[0]), ("", 0))
                if gate and not own.is_routing:
                    leads[name] = (gate, count + 1)
        return leads


def check_team(team: Declaration) -> None:
    """Raise `BadGraph` for what does not fit together; the message names it."""
    names = check_unique(team)
    reserved = sorted(name for name in names if name.startswith("guard_") or name in (START, END, *team.gates))
    if reserved:
        raise BadGraph(f"these agent names are taken by the team's own nodes: {_listed(reserved)}")
    gates = f"the gates are {_listed(sorted(team.gates)) or 'none yet (`add_gate`)'}"
    _check_members(team, gates)
    _check_targets(team, names, gates)
    _check_conditions(team)
    places = team.places()
    check_own_guards(team.agents, places)
    check_idle_guards(team.name, team.guards, gates=team.judging, places=places)
    _check_compensation(team)
    known = {skill for agent in team.agents for skill in agent.skills}
    unused = sorted(set(team.skill_limits) - known)
    if unused:
        nearest = nearest_text(unused[0], known)
        raise BadGraph(f"`skill_limits` names {_listed(unused)}, which no agent has as a skill{nearest}")
    _check_steps(team)
    _check_rates(team)
    if team.board is not None:
        team.board.check_agents([agent.name for agent in team.agents])
    _check_entry(team)
    check_reserved(team.guards, team.agents, team.workers | team.reviewer_names)


def _check_steps(team: Declaration) -> None:
    """Raise `BadGraph` for a step of a budget to a model that no agent has; a nested team may have one that does."""
    known = {name for agent in team.agents for name in agent.models}
    unknown = sorted({step.model for guard in leaves(team.guards) for step in steps_of(guard).values()} - known)
    if unknown and not any(agent.kind == "team" for agent in team.agents):
        nearest = nearest_text(unknown[0], known)
        raise BadGraph(f"`Budget(at=…)` names the model {unknown[0]!r}, which no agent has in `models`{nearest}")


def _check_rates(team: Declaration) -> None:
    """Raise `BadGraph` for two guards with a rate that judge one agent, its tools or its models.

    Each has one circuit, with one rule.
    """
    for member in team.members:
        for agent in member.agent.fallback_chain:
            judging = applying((*team.guards, *agent.guards), agents={agent.name, member.agent.name})
            rated = [one for one in leaves(judging) if isinstance(one, Breaker) and one.rate is not None]
            for of in ("agent", "tool", "model"):
                rates = [str(one.rate) for one in rated if one.of == of]
                if len(rates) > 1:
                    whose = "and one circuit" if of == "agent" else f"but each {of} has one circuit"
                    raise BadGraph(
                        f"agent {agent.name!r} has {len(rates)} Breakers with a `rate` ({', '.join(rates)}), {whose}: "
                        "leave one of them, or give them to different agents (`only(agents=…)`)"
                    )


def check_unique(team: Declaration, more: Sequence[Agent] = ()) -> Collection[str]:
    """Return the names of all agents and nodes. Raises `BadGraph` for duplicates."""
    names = Counter([*(agent.name for head in more for agent in head.fallback_chain), *team.own])
    names.update(agent.name for agent in team.agents)
    twice = sorted(name for name, count in names.items() if count > 1)
    both = next((name for name in twice if name in team.reviewer_names), None)
    if both is not None:
        raise BadGraph(
            f"the reviewer {both!r} is another agent of the team too, and no agent reviews its own answers: give the "
            "reviewer another agent, or another name if it is one"
        )
    if twice:
        raise BadGraph(f"agent names must be unique in a team, these are used twice: {_listed(twice)}")
    return names


def check_state(name: str, state: object) -> None:
    """Raise `BadGraph` for a state without the channels that every team has."""
    known: Mapping[str, Any] = getattr(state, "__annotations__", {})
    if not isinstance(state, type) or not known.keys() >= RunState.__annotations__.keys():
        raise BadGraph(f"{name}: `state` must be a `TypedDict` that extends `RunState`, got {state!r}")
    hints, own = get_type_hints(state, include_extras=True), get_type_hints(RunState, include_extras=True)
    lists = [name for name, kind in own.items() if name != "messages" and get_origin(kind) is Annotated]
    changed = sorted(name for name in lists if hints[name] != own[name])
    if changed:
        raise BadGraph(f"{name}: `state` gives other types to channels of the team: {_listed(changed)}")


def _check_members(team: Declaration, gates: str) -> None:
    for member in team.members:
        name, to = member.agent.name, member.gate
        if to not in team.gates:
            raise BadGraph(f"agent {name!r} leads to a gate {to!r} that does not exist; {gates}")
        if member.channel == "plans" and not to.startswith("dispatch"):
            raise BadGraph(f"agent {name!r} plans, and leads to gate {to!r}: only a `dispatch` gate reads plans")
        if name not in {agent.name for agent in team.gates[to].agents}:
            raise BadGraph(f"agent {name!r} leads to gate {to!r}, whose `agents` do not name it")


def _check_conditions(team: Declaration) -> None:
    """Raise `BadGraph` for a guard that judges only agents which the team does not have."""
    known = {agent.name for agent in team.agents}
    for guard in conditions((*team.guards, *(guard for agent in team.agents for guard in agent.guards))):
        unknown = sorted({*(guard.agents or ())} - known)
        if unknown:
            nearest = nearest_text(unknown[0], sorted(known))
            raise BadGraph(
                f"`only` of the guard {name_of(guard)!r} names {_listed(unknown)}, which is no agent of the "
                f"team{nearest}"
            )


def _check_compensation(team: Declaration) -> None:
    """Raise `BadGraph` for a guard that names an agent which cannot put right what the guard refuses."""
    names, plans = {agent.name for agent in team.agents}, any(member.channel == "plans" for member in team.members)
    heads = [(one.agent, one.gate) for one in team.members if one.channel == "results"]
    if team.author is not None and any(guard.compensate for guard in _contracts(team.author.guards)):
        heads.append((team.author, "exit"))
    for guard in _contracts((*team.guards, *(guard for agent in team.agents for guard in agent.guards))):
        if guard.compensate not in names:
            nearest = nearest_text(guard.compensate, sorted(names))
            raise BadGraph(f"guard {name_of(guard)!r}: no agent {guard.compensate!r} to compensate{nearest}")
    for head, gate in heads:
        workers = {one.name for one, at in heads if at == gate} if plans else set[str]()
        able = {*workers, *(agent.name for agent in head.fallback_chain)}
        for agent in head.fallback_chain:
            judging = applying((*team.guards, *agent.guards), agents={agent.name, head.name})
            odd = next((guard for guard in _contracts(judging) if guard.compensate not in able), None)
            if odd is not None:
                raise BadGraph(
                    f"guard {name_of(odd)!r}: {odd.compensate!r} cannot compensate for {agent.name!r}: make it a "
                    f"fallback of {head.name!r}, or give the guard to other agents alone (`only(agents=…)`)"
                )


def _contracts(guards: Iterable[Guard]) -> list[Any]:
    """Return the guards that name an agent to compensate."""
    return [guard for guard in leaves(guards) if getattr(guard, "compensate", None) is not None]


def _check_targets(team: Declaration, names: Collection[str], gates: str) -> None:
    named = [(f"gate {name!r}", (*gate.agents, *gate.destinations)) for name, gate in team.gates.items()]
    named += [("`entry`", team.destinations), ("`required`", team.required)]
    named += [(f"node {name!r}", own.destinations) for name, own in team.own.items()]
    known = {*names, *team.gates, EXIT}
    for where, target in ((where, target) for where, destinations in named for target in destinations):
        if isinstance(target, Agent) and target.name not in known:
            raise BadGraph(f"{where} names the agent {target.name!r}, which was not added (`add_agents`)")
        if not isinstance(target, Agent) and target not in known:
            raise BadGraph(f"{where} names {target!r}, which is no gate, agent or node of the team; {gates}")
    try:
        TopologicalSorter({name: own.destinations for name, own in team.own.items() if not own.is_routing}).prepare()
    except CycleError as error:
        raise BadGraph(f"node {error.args[1][0]!r} leads back to itself, and to no gate") from error
    agents = {agent.name for agent in team.agents}
    for name, own in team.own.items():
        if not agents.isdisjoint(own.destinations):
            raise BadGraph(f"node {name!r} leads to an agent: give `to=` the agent itself, not its name")


def _check_entry(team: Declaration) -> None:
    if callable(team.entry):
        if iscoroutinefunction(team.entry):
            raise BadGraph("`entry` must be a plain function that is not async")
        return
    entry = {agent.name for agent in team.entry}
    if team.author is not None and team.author.name in entry and len(entry) > 1:
        raise BadGraph(f"the author {team.author.name!r} writes once work has ended, and cannot be one of `entry`")
    led = sorted({member.gate for member in team.members if member.agent.name in entry})
    if len(led) > 1:
        raise BadGraph(f"the agents of `entry` work at once and must lead to one gate, not to {_listed(led)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
