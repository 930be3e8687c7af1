"""Finds faults in the design of a graph without running it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal, NamedTuple

from langgraph.graph.state import CompiledStateGraph

from guardgraph.agents.agent import Agent
from guardgraph.graphs.draw.direction import depths
from guardgraph.graphs.idle_guards import counts_rounds
from guardgraph.graphs.reserved import reserved_by, reserved_in
from guardgraph.graphs.topology import Topology, cycles, topology_of
from guardgraph.guards import AllowedTools, Budget, Deadline, applying, leaves, name_of
from guardgraph.nodes.team_spec import TeamSpec

__all__ = ("WIDEST", "Finding", "Severity", "lint")

Severity = Literal["error", "warning", "note"]
WIDEST = 10
"""The most workers that one lead should have."""
_ORDER = ("error", "warning", "note")
_PARENT = "unless a nested graph goes there by `Command(graph=Command.PARENT)`, which it cannot declare"
_UNREACHABLE = "nothing leads to it, so it never runs: add an edge or a destination, or remove it"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, and what to do about it."""

    code: str
    """What kind of fault it is, such as `unreachable`; it does not change between versions."""
    severity: Severity
    """An `error` never does what its author wanted; a `warning` may cost more than it brings; a `note` is a hint."""
    nodes: tuple[str, ...]
    """The nodes it is about; inside a nested graph with its path, as `team:writer`."""
    message: str
    """What is wrong and what to do, in one sentence."""


class _Above(NamedTuple):
    """What the teams above a graph limit; those limits hold for all below them."""

    budget: bool = False
    deadline: bool = False
    timeout: bool = False
    reserved: frozenset[str] = frozenset()
    """What their `Trust` guards reserve."""


def lint(graph: Any) -> list[Finding]:
    """Return the faults of any LangGraph graph, errors first; nested graphs are checked too, and nothing is run.

    Of foreign graphs only their wiring is known. Raises `BadInput` for what is no graph.
    """
    found = [*_lint(graph, "", _Above())]
    return sorted(found, key=lambda one: (_ORDER.index(one.severity), one.nodes, one.code))


def _lint(graph: Any, path: str, above: _Above) -> Iterable[Finding]:
    level = topology_of(graph)
    team = level.team
    limits = above
    if team is not None:
        always = leaves(applying(team.guards, agents=(), categories=()))
        budget = any(isinstance(guard, Budget) for guard in always)
        deadline = any(isinstance(guard, Deadline) for guard in always)
        limits = above._replace(budget=above.budget or budget, deadline=above.deadline or deadline)
    own = [*_wiring(level), *_loops(level, limits), *_sequences(level), *_wide(level), *_limits(level, limits)]
    if team is not None:
        own += [*_idle_guards(team), *_allowed(level, team), *_reserved(level, team, above)]
        limits = limits._replace(reserved=above.reserved | reserved_by(team.guards))
    for one in own:
        yield replace(one, nodes=tuple(path + node for node in one.nodes))
    for name, nested in level.nested.items():
        agent = level.agents.get(name)
        inside = limits._replace(timeout=limits.timeout or bool(agent and agent.timeout))
        yield from _lint(nested, f"{path}{name}:", inside)


def _wiring(level: Topology) -> Iterable[Finding]:
    """Yield what is never reached, what leads nowhere, and what cannot be known."""
    graph = level.graph
    open_nodes = [node.id for node in graph.nodes if node.is_open]
    for name in open_nodes:
        what = "it routes to nodes that it does not declare: give `path_map`, `destinations` or a `Literal` return type"
        yield Finding("open-route", "warning", (name,), what)
    missing = [node.id for node in graph.nodes if "this node does not exist" in node.facts]
    for name in missing:
        what = f"there is no such node, but {_listed(level.sources[name])} leads to it: add it, or correct the name"
        yield Finding("unknown-destination", "error", (name,), what)
    reached = depths(graph)
    lost = [node.id for node in graph.nodes if node.id not in reached and node.kind not in ("start", "end")]
    if not open_nodes:
        may_be_reached = level.team is None and bool(level.nested)
        for name in lost if may_be_reached else ():
            yield Finding("unreachable", "warning", (name,), f"{_UNREACHABLE} ({_PARENT})")
        for name in () if may_be_reached else lost:
            yield Finding("unreachable", "error", (name,), _UNREACHABLE)
        yield from _traps(level, {*reached} - {*missing})


def _traps(level: Topology, reached: set[str]) -> Iterable[Finding]:
    """Yield the loops that nothing leaves."""
    leaving = {name for name in reached if not level.targets[name]} | {"__end__"}
    backwards = [replace(edge, source=edge.target, target=edge.source) for edge in level.graph.edges]
    known: set[str] = set()
    while leaving:
        known |= leaving
        leaving = {edge.target for edge in backwards if edge.source in leaving} - known
    caught = tuple(node.id for node in level.graph.nodes if node.id in reached - known and node.kind != "start")
    if caught:
        what = "no path leads from here to the end, so a run ends by `GraphRecursionError`: add a way out"
        yield Finding("endless-loop", "error", caught, what)


def _loops(level: Topology, limits: _Above) -> Iterable[Finding]:
    """Yield loops without a gate: only LangGraph's `recursion_limit` or the deadline of a team above ends them."""
    kinds = {node.id: node.kind for node in level.graph.nodes}
    for members in cycles(level.graph.edges):
        if any(kinds[name] == "gate" for name in members):
            continue
        bounded = limits.deadline or limits.timeout or limits.budget
        ends = "the limits of its team end" if bounded else "only `recursion_limit` ends"
        what = f"{ends} this loop, and without a value: bound it by a gate, or count its passes in the state"
        names = tuple(node.id for node in level.graph.nodes if node.id in members)
        yield Finding("loop-without-gate", "note" if bounded else "warning", names, what)


def _sequences(level: Topology) -> Iterable[Finding]:
    """Yield agents that always follow each other with the same context (R103)."""
    for first in level.nodes:
        for second in _followers(level, first):
            if _is_same_work(level, first, second):
                what = (
                    "they always run one after the other, with the same model and context and no check between them: "
                    "make them one agent with two steps, which saves a call and the context sent twice"
                )
                yield Finding("one-agent-would-do", "warning", (first, second), what)


def _followers(level: Topology, first: str) -> list[str]:
    """Return the only node that follows `first`, and follows nothing else; gates between them are passed over."""
    gates = {node.id for node in level.graph.nodes if node.kind == "gate"}
    exits = {"guard_exit", "__end__", *(level.team.ends if level.team else ())}
    after = set(level.targets[first])
    for gate in after & gates:
        after |= set(level.targets[gate])
    after -= gates | exits | {first}
    if len(after) != 1:
        return []
    (second,) = after
    before = set(level.sources[second])
    for gate in before & gates:
        before |= set(level.sources[gate])
    return [second] if before - gates - {second, "__start__"} == {first} else []


def _is_same_work(level: Topology, first: str, second: str) -> bool:
    one, other = level.agents.get(first), level.agents.get(second)
    if level.team is not None and not {first, second} <= level.team.workers:
        return False  # a planner decides whether and on what its worker works
    if one is not None and other is not None:
        if (
            one.model is None
            or one.model != other.model
            or one.output is not None
            or one.fallback
            or other.fallback
            or one.guards
        ):
            return False
        return _tools(one) == _tools(other) and not _checks(level, first)
    chats = [level.nested.get(name) for name in (first, second)]
    return one is other is None and all(
        isinstance(chat, CompiledStateGraph) and "messages" in chat.channels for chat in chats
    )


def _checks(level: Topology, agent: str) -> bool:
    """Return whether a guard other than `Schema` judges what an agent answers; `Schema` judges declared outputs."""
    judged = [pair for gate in level.targets[agent] if gate in level.nodes for pair in level.nodes[gate].guards]
    names = {name for gate, listed in judged if gate in ("handoff", "round") for name in listed.split(", ")}
    return bool(names - {"Schema"})


def _tools(agent: Agent) -> frozenset[int]:
    return frozenset(map(id, agent.tools))


def _wide(level: Topology) -> Iterable[Finding]:
    """Yield a lead with more workers than it can oversee (R22)."""
    for node in level.graph.nodes:
        if node.kind == "gate" and not node.label.startswith("guard_dispatch"):
            continue
        kinds = level.nodes
        led = [name for name in level.targets[node.id] if kinds[name].kind in ("agent", "node")]
        if level.team is not None:
            spare = {other.name for agent in level.team.agents.values() for other in agent.fallback_chain[1:]}
            team = level.team
            if team.agents.keys() <= team.workers | team.ends | team.reviewers or team.repeats is not None:
                continue  # no agent leads: rules, bids or code of the team choose who works
            led = [name for name in led if name in level.team.workers and name not in spare]
        if len(led) > WIDEST:
            what = f"it leads {len(led)} workers, more than {WIDEST}: put leads between them (`Tier.of_workers`)"
            yield Finding("wide-team", "warning", (node.id,), what)


def _limits(level: Topology, limits: _Above) -> Iterable[Finding]:
    """Yield model agents without a limit on time or on cost."""
    paid = {name: agent for name, agent in level.agents.items() if agent.kind == "model" and not _is_offline(agent)}
    endless = tuple(name for name, agent in paid.items() if agent.timeout is None)
    if endless and not (limits.deadline or limits.timeout):
        what = "a model call that hangs holds the run: give the agents a `timeout`, or the team a `Deadline`"
        yield Finding("no-timeout", "warning", endless, what)
    if paid and not limits.budget:
        what = "nothing limits what their models cost: give the team a `Budget`"
        yield Finding("no-budget", "warning", tuple(paid), what)


def _is_offline(agent: Agent) -> bool:
    models = agent.models.values() if agent.models else (agent.model,)
    return all(isinstance(model, str) and model.startswith("offline:") for model in models)


def _idle_guards(team: TeamSpec) -> Iterable[Finding]:
    """Yield guards of rounds that no gate asks; others that no gate asks are refused when a team is built."""
    if "round" in chain.from_iterable(team.kinds.values()):
        return
    for guard in team.guards:
        if set(guard.gates) == {"round"} and counts_rounds(guard):
            what = (
                f"the guard {name_of(guard)} judges at round, and no gate of this team does: unless a route calls "
                "`next_round`, it limits nothing, and can be removed"
            )
            yield Finding("idle-guard", "note", ("guard_admission",), what)


def _allowed(level: Topology, team: TeamSpec) -> Iterable[Finding]:
    """Yield names in `AllowedTools` of agents that are nowhere in the tree."""
    tables = [guard.allowed for guard in leaves(team.guards) if isinstance(guard, AllowedTools)]
    named = {name for table in tables if isinstance(table, Mapping) for name in table}
    unknown = sorted(named - _names_in(level) - _nodes_in(level))
    if unknown:
        what = f"AllowedTools names {_listed(unknown)}, which is no agent or node here or below: correct the name"
        yield Finding("unknown-agent", "warning", ("guard_admission",), what)


def _reserved(level: Topology, team: TeamSpec, above: _Above) -> Iterable[Finding]:
    """Yield what teams above reserve and this one does not, and what `Trust` reserves that is nowhere in the tree."""
    mine = reserved_by((*team.guards, *chain.from_iterable(agent.guards for agent in team.agents.values())))
    for agent in team.agents.values():
        open_ = reserved_in(agent, above.reserved - mine)
        if open_:
            what = f"a team above reserves {_listed(open_)}, and guards judge in their own team alone: reserve it here"
            yield Finding("not-reserved", "warning", (agent.name,), what)
    unknown = sorted(mine.difference(_names_in(level), above.reserved))
    if unknown:
        what = f"Trust reserves {_listed(unknown)}, which is no agent or tool here or below: correct the name"
        yield Finding("unknown-reserved", "warning", ("guard_admission",), what)


def _names_in(level: Topology) -> frozenset[str]:
    """Return the names of all agents and of their tools, in nested graphs too."""
    agents = [] if level.team is None else level.team.agents.values()
    own = frozenset(chain.from_iterable((agent.name, *agent.tool_names) for agent in agents))
    return own.union(*(_names_in(topology_of(nested)) for nested in level.nested.values()))


def _nodes_in(level: Topology) -> frozenset[str]:
    """Return the names of all nodes and of nested graphs: a call of a tool is that of the innermost."""
    graphs = [str(getattr(nested, "name", "")) for nested in level.nested.values()]
    return frozenset((*level.nodes, *graphs)).union(*(_nodes_in(topology_of(one)) for one in level.nested.values()))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
