"""The graph of a declared team: nodes, edges, destinations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.managed import RemainingSteps

from guardgraph.agents.agent import Agent
from guardgraph.graphs.channels import reduced_once
from guardgraph.graphs.declaration import Declaration, GateDeclaration
from guardgraph.graphs.review_checks import reviewers_at
from guardgraph.guards import AnyOf, Budget, Grounding, Guard, Only, applying, breaker_of, leaves, name_of
from guardgraph.nodes.admission import ADMISSION, admission
from guardgraph.nodes.agent_node import agent_node
from guardgraph.nodes.decisions.review import can_retry, retry_targets
from guardgraph.nodes.exit_gate import exit_gate
from guardgraph.nodes.gate import gate_node
from guardgraph.nodes.gate_context import Route
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.state import Gate, Result, TeamInput, TeamOutput

__all__ = ("wire",)


def wire(team: Declaration) -> StateGraph[Any, Any, Any, Any]:
    """Return the graph of a team whose declaration was checked."""
    graph: Any = StateGraph(_with_steps(team.state), input_schema=TeamInput, output_schema=TeamOutput)
    graph.channels = {name: reduced_once(channel) for name, channel in graph.channels.items()}
    spec, destinations = _spec(team, graph), _with_fallbacks(team, team.nodes_of(team.destinations))
    graph.team = spec  # what `lint` and `estimate` read
    entry = team.entry if callable(team.entry) else _to_each(tuple(team.entry))
    _add_gate_node(
        team, graph, ADMISSION, admission(spec, entry=entry, destinations=destinations), ("admission",), destinations
    )
    graph.add_edge(START, ADMISSION)
    for name, gate in team.gates.items():
        _add_gate(team, graph, spec, name, gate)
    _add_gate_node(team, graph, EXIT, exit_gate(spec), ("exit",), (*_rewriting(team), *_reviewing(team, "exit")))
    _add_agent_nodes(team, graph)
    for name, own in team.own.items():
        graph.add_node(name, own.node, destinations=team.nodes_of(own.destinations) if own.is_routing else None)
        if not own.is_routing:
            graph.add_edge(name, team.node_of(own.destinations[0]))
    return graph


def _spec(team: Declaration, graph: Any) -> TeamSpec:
    members = [(member, agent) for member in team.members for agent in member.agent.fallback_chain]
    leads = team.leads()
    review_steps = {f"guard_{name}": 2 for name in (*team.gates, "exit") if reviewers_at(team, name)}
    return TeamSpec(
        name=team.name,
        guards=team.guards,
        channels=dict(graph.channels),
        agents={agent.name: agent for agent in team.agents},
        fallbacks={
            spare.name: head.name
            for head in (*(one.agent for one in team.members), *team.writers[:1], *team.reviewers)
            for spare in head.fallback_chain[1:]
        },
        workers=team.workers,
        reviewers=team.reviewer_names,
        review_steps=review_steps,
        drafters=frozenset(
            agent.name for agent in (*(a for member, a in members if member.can_rewrite), *team.writers)
        ),
        context={agent.name: member.context for member, agent in members if member.context},
        concurrency=team.concurrency,
        board=team.board,
        author=team.author,
        required=team.required,
        rounds=team.rounds,
        requests=team.requests,
        repeats=team.repeats,
        accepts=team.accepts,
        before_exit=team.before_exit,
        kinds={f"guard_{name}": team.kinds_of(name) for name in team.gates},
        routes={f"guard_{name}": team.nodes_of(gate.destinations) for name, gate in team.gates.items()},
        nodes={name: f"guard_{name}" for name in team.gates},
        leads=leads,
        steps=_steps(team, leads, review_steps),
    )


def _steps(team: Declaration, leads: Mapping[str, tuple[str, int]], review_steps: Mapping[str, int]) -> dict[str, int]:
    """Return the supersteps from each node to the next gate that can stop the run, both included, with a review."""
    steps = {
        node: count + (3 if node.startswith("guard_") else 1) + review_steps.get(gate, 0)
        for node, (gate, count) in leads.items()
    }
    for _ in team.own:  # each pass follows the nodes one step further
        for name, own in team.own.items():
            steps[name] = max(steps.get(name, 2), 1 + max(steps.get(team.node_of(to), 2) for to in own.destinations))
    return steps


def _add_gate(team: Declaration, graph: Any, spec: TeamSpec, name: str, gate: GateDeclaration) -> None:
    node = f"guard_{name}"
    kinds = spec.kinds[node]
    reviewed = {member.agent.name for member in team.members if member.gate == name}
    again = retry_targets([agent for agent in gate.agents if agent.name in reviewed], team.guards, at=kinds[0])
    sent = [agent.name for agent in gate.agents if agent.name not in reviewed]
    destinations = (*again, *_with_fallbacks(team, (*sent, *team.nodes_of(gate.destinations))))
    work = gate_node(spec, node, gate.decide, agents=gate.agents, route=gate.route, destinations={*destinations})
    _add_gate_node(team, graph, node, work, kinds, (*destinations, *_reviewing(team, name)))


def _reviewing(team: Declaration, gate: str) -> list[str]:
    """Return the names of the agents of which a gate may ask for an opinion."""
    return [agent.name for head in reviewers_at(team, gate) for agent in head.fallback_chain]


def _with_fallbacks(team: Declaration, names: Sequence[str]) -> tuple[str, ...]:
    """Return nodes with the fallbacks of those agents that are not sent anything while their circuit is open."""
    heads = {member.agent.name: member.agent for member in team.members if member.channel == "results"}
    return tuple(
        one
        for name in names
        for one in (
            [agent.name for agent in heads[name].fallback_chain]
            if name in heads and breaker_of((*team.guards, *heads[name].guards)) is not None
            else [name]
        )
    )


def _add_gate_node(
    team: Declaration, graph: Any, node: str, work: Any, gates: Sequence[Gate], destinations: Sequence[str]
) -> None:
    """Add the node of a gate; its metadata names the guards that judge there."""
    judged = team.workers | team.reviewer_names
    sends = ("dispatch",) if "dispatch" not in gates and not judged.isdisjoint(destinations) else ()
    judging = {gate: _judging(team, gate, node, destinations) for gate in (*gates, *sends)}
    guards = "; ".join(f"{gate}: {', '.join(names)}" for gate, names in judging.items() if names)
    has_results = node != ADMISSION or callable(team.entry)  # the author writes only where there may be some
    ends = (END,) if node == EXIT else (*([team.author.name] if team.author and has_results else []), EXIT)
    destinations = tuple(dict.fromkeys((*destinations, *ends)))
    graph.add_node(node, work, destinations=destinations, metadata={"guards": guards or "none"})


def _add_agent_nodes(team: Declaration, graph: Any) -> None:
    names = {(member.gate, member.agent.name) for member in team.members if member.sends_messages}
    node = partial(
        agent_node,
        concurrency=team.concurrency,
        skill_limits=team.skill_limits,
        board=team.board,
        guards=team.guards,
    )
    for member in team.members:
        peers = {name for gate, name in names if gate == member.gate} if member.sends_messages else ()
        writes, works = member.writes or _writes(member.channel), member.channel == "results"
        for agent in member.agent.fallback_chain:
            replaced = None if agent is member.agent else member.agent.name
            judging = applying((*team.guards, *agent.guards), agents={agent.name, replaced or agent.name})
            evidence = works and any(isinstance(guard, Grounding) for guard in leaves(judging))
            breaker = breaker_of(judging) if works else None
            work = node(agent, fallback_for=replaced, writes=writes, evidence=evidence, peers=peers, breaker=breaker)
            graph.add_node(agent.name, work)
            graph.add_edge(agent.name, f"guard_{member.gate}")
    for agent in team.writers:
        replaced = None if agent is team.author else team.writers[0].name
        writing = node(agent, fallback_for=replaced, writes=lambda result: {"draft": result}, concluding=True)
        graph.add_node(agent.name, writing)
        graph.add_edge(agent.name, EXIT)
    for head in team.reviewers:
        for agent in head.fallback_chain:
            replaced = None if agent is head else head.name
            breaker = breaker_of(applying((*team.guards, *agent.guards), agents={agent.name, head.name}))
            work = node(agent, fallback_for=replaced, writes=_writes("reviews"), breaker=breaker)
            back = tuple(f"guard_{gate}" for gate in (*team.gates, "exit") if head in reviewers_at(team, gate))
            graph.add_node(agent.name, work, destinations=back)


def _rewriting(team: Declaration) -> tuple[str, ...]:
    """Return the names of the agents to which `guard_exit` may send."""
    rewriters = [one.agent for one in team.members if one.can_rewrite]
    judged = [head for head in rewriters if any(can_retry(g, at="exit") for g in (team.guards, *_own_guards(head)))]
    again = (agent.name for head in judged for agent in head.fallback_chain)
    return (*retry_targets([team.author] if team.author else (), team.guards, at="exit"), *again)


def _own_guards(head: Agent) -> list[Sequence[Guard]]:
    return [agent.guards for agent in head.fallback_chain]


def _judging(team: Declaration, gate: Gate, node: str, destinations: Sequence[str]) -> list[str]:
    """Return the names of the guards that judge in a gate; that of a guard of one agent is followed by the agent's."""
    sent, reviewed = {*destinations}, {m.agent.name for m in team.members if f"guard_{m.gate}" == node}
    if node == EXIT:
        reviewed = {agent.name for agent in team.writers} | {m.agent.name for m in team.members if m.can_rewrite}
    own = [
        f"{_label(guard)} ({agent.name})"
        for agent in team.agents
        if agent.name in (sent & (team.workers | team.reviewer_names) if gate == "dispatch" else reviewed)
        for guard in agent.guards
        if gate in guard.gates
    ]
    return [*(_label(guard) for guard in team.guards if gate in guard.gates), *own]


def _label(guard: Guard) -> str:
    """Return how a drawing names a guard: with the condition under which it judges, and a budget with its account."""
    if isinstance(guard, AnyOf):
        return " | ".join(map(_label, guard.parts))
    if isinstance(guard, Budget) and (guard.per, guard.window) != ("run", None):
        return f"Budget [{guard.per}]" if guard.window is None else f"Budget [{guard.per}'s {guard.window}]"
    if isinstance(guard, Only):
        return f"{_label(guard.guard)} [{guard.condition}]"
    review = getattr(guard, "review", None)
    return name_of(guard) if review is None else f"{name_of(guard)} by {review}"


def _with_steps(state: type[Any]) -> type[Any]:
    """Return the state with LangGraph's managed value `remaining_steps`; `state` itself needs no LangGraph."""

    class Channels(state):
        remaining_steps: RemainingSteps

    Channels.__name__ = Channels.__qualname__ = state.__name__
    return Channels


def _to_each(agents: Sequence[Agent]) -> Route:
    return lambda gate: [gate.send(agent) for agent in agents]


def _writes(channel: str) -> Callable[[Result], dict[str, Any]]:
    return lambda result: {channel: [result]}
