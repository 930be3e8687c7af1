"""Estimates what a run of a graph takes, from its topology alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.graphs.attempt_load import Estimating, load_of_attempt, load_of_reviews
from guardgraph.graphs.child_limits import limits_of
from guardgraph.graphs.draw.description import EdgeDescription, NodeDescription
from guardgraph.graphs.draw.direction import layers
from guardgraph.graphs.load import Assumptions, Load, load_of_calls, worst_of
from guardgraph.graphs.topology import Topology, cycles, topology_of
from guardgraph.guards import Convergence, Limits, Retry, applying, bounds_of, leaves, prices_of
from guardgraph.nodes.admission import ADMISSION
from guardgraph.nodes.decisions.review import can_retry
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.state import Gate

__all__ = ("Estimate", "estimate")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run of a graph takes, under assumptions that are part of it."""

    depth: int
    """How many levels of graphs there are; 1 is a graph without nested ones."""
    expected: Load
    """Every round of planning is used, a loop is passed once, nothing is tried again, what may run in parallel does."""
    worst: Load
    """Every attempt is used, and every subtask waits for the one before. Caps of the team's guards are respected."""
    assumptions: tuple[str, ...]
    """What was assumed, a sentence each."""


def estimate(graph: Any, assumptions: Assumptions | None = None) -> Estimate:
    """Return what a run of any LangGraph graph takes; nothing is run.

    In a team the attempts of agents, rounds and caps are known. Of foreign graphs only the nodes are: how often a loop
    runs and whether a node calls a model is assumed. Routes are taken to lead only where the graph declares it. Raises
    `BadInput` for what is no graph.
    """
    work = Estimating(assumptions or Assumptions())
    depth, expected, worst = _graph(work, graph, "")
    given = work.given
    work.note(f"a model call reads {given.input_tokens} tokens and writes {given.output_tokens} (or `max_tokens`)")
    work.note(f"a model call takes {given.seconds:g} s, at worst {given.slowest_seconds:g} s; other code takes no time")
    if worst.usd is None:
        work.note("the price of a model is unknown, so the cost is: name a model whose price holds")
    return Estimate(depth, expected, worst, tuple(work.notes))


def _graph(work: Estimating, graph: Any, path: str) -> tuple[int, Load, Load]:
    """Return depth, what is expected and the worst case of one graph with all that is nested in it."""
    level = topology_of(graph)
    if level.team is not None:
        work = replace(work, prices={**prices_of(level.team.guards), **work.prices})
    inside = {name: _graph(work, nested, f"{path}{name}:") for name, nested in level.nested.items()}
    depth = 1 + max((found[0] for found in inside.values()), default=0)
    loads = {name: (expected, worst) for name, (_, expected, worst) in inside.items()}
    if level.team is None:
        return depth, *_foreign(work, level, loads, path)
    return depth, *_team(work, level, level.team, loads, path)


def _foreign(work: Estimating, level: Topology, loads: dict[str, tuple[Load, Load]], path: str) -> tuple[Load, Load]:
    given, again = work.given, _looping(level.graph.edges)
    passes = given.rounds or given.passes
    layer = layers(level.graph)
    expected, worst = Load(), Load()
    longest: dict[int, float] = defaultdict(float)
    steps: dict[int, int] = defaultdict(int)
    for node in level.graph.nodes:
        if node.kind in ("start", "end"):
            continue
        repeats = passes if node.id in again else 1
        usual, slow = loads.get(node.id) or _node(work, node, loads)
        expected, worst = expected + usual.times(repeats), worst + slow.times(repeats)
        longest[layer[node.id]] = max(longest[layer[node.id]], usual.seconds * repeats)
        steps[layer[node.id]] = max(steps[layer[node.id]], repeats)
        worst = replace(worst, supersteps=worst.supersteps - slow.supersteps * repeats + repeats)
    where = f" in {path.removesuffix(':')!r}" if path else ""
    work.note(
        f"a node of a foreign graph{where} that is no tool node makes this many model calls: {given.calls_per_node}"
    )
    if again:
        work.note(f"a loop of a foreign graph{where} is passed {passes} times")
    return replace(expected, supersteps=sum(steps.values()), seconds=sum(longest.values())), worst


def _node(work: Estimating, node: NodeDescription, loads: dict[str, tuple[Load, Load]]) -> tuple[Load, Load]:
    """Return what one execution of a node of a foreign graph takes."""
    if node.agent is not None:
        return load_of_attempt(work, node.agent, loads)
    given = work.given
    calls = 0 if any(fact.startswith("tools: ") for fact in node.facts) else given.calls_per_node
    usual = load_of_calls(calls, None, given, seconds=given.seconds, prices=work.prices)
    return usual, load_of_calls(calls, None, given, seconds=given.slowest_seconds, prices=work.prices)


def _looping(edges: Iterable[EdgeDescription]) -> frozenset[str]:
    return frozenset().union(*cycles(edges))


def _team(
    work: Estimating, level: Topology, team: TeamSpec, loads: dict[str, tuple[Load, Load]], path: str
) -> tuple[Load, Load]:
    (rounds, at_worst), pool, again = _rounds(work, team, path), _pool(team), _looping_nodes(level, team)
    subtasks, most = team.requests or (work.given.subtasks or len(pool),) * 2
    if team.requests is not None:
        work.note(f"workers that are asked: {subtasks}, at worst {most}", path)
    elif pool:
        work.note(f"rounds of planning: {rounds}, subtasks in each: {subtasks}", path)
    elif again:
        work.note(f"passes of a loop: {rounds} expected, {at_worst} at worst, or `rounds` as given", path)
    usual = {**dict.fromkeys(again, rounds), **{agent.name: rounds * subtasks for agent in pool}}
    if team.repeats is not None:
        work.note(f"a subtask goes to one worker, at worst to {team.repeats}, each time in a pass of its own", path)
        at_worst, most = at_worst * most * team.repeats, 1
    slow = {**dict.fromkeys(again, at_worst), **{agent.name: at_worst * most for agent in pool}}
    expected = _expected(work, level, team, loads, usual, rounds)
    worst = _worst(work, level, team, loads, slow)
    return _capped(work, team, expected, path), _capped(work, team, worst, path)


def _expected(
    work: Estimating,
    level: Topology,
    team: TeamSpec,
    loads: dict[str, tuple[Load, Load]],
    requests: dict[str, int],
    rounds: int,
) -> Load:
    """Return what a team takes where nothing is tried again; workers of a planner share its `requests` by turns."""
    pool, layer = _pool(team), layers(level.graph)
    together = team.concurrency or 1_000_000
    total = Load()
    at_once: dict[Any, tuple[float, int, int]] = {}  # by layer and gate: seconds of the slowest, how many, how often
    for agent in _heads(team):
        reviews = load_of_reviews(work, team, agent, {"handoff"}, loads)[0]
        usual, times = load_of_attempt(work, agent, loads)[0] + reviews, requests.get(agent.name, 1)
        place = layer.get(agent.name, 0), team.leads.get(agent.name)
        seconds, count, most = at_once.get(place, (0.0, 0, 0))
        if agent in pool:
            share, rest = divmod(times, len(pool))
            total += usual.times(share + (pool.index(agent) < rest))
            count, most = times // rounds, rounds
        else:
            total += usual.times(times)
            count, most = count + 1, max(most, times)
        at_once[place] = (max(seconds, usual.seconds), count, most)
    steps = sum(_steps(team, lead) * times for (_, lead), (_, _, times) in at_once.items()) + _own_steps(
        level, requests
    )
    steps += not {*team.nodes.values()}.isdisjoint(level.targets[ADMISSION])  # a gate before any agent
    value = load_of_reviews(work, team, None, {"exit"}, loads)[0]
    waves = sum(seconds * ceil(count / together) * times for seconds, count, times in at_once.values())
    return replace(
        total + value,
        supersteps=1 + steps + (team.author is None) + team.review_steps.get(EXIT, 0),
        seconds=waves + value.seconds,
    )


def _steps(team: TeamSpec, lead: tuple[str, int] | None) -> int:
    """Return the supersteps of an agent and its gate, with those of a review there."""
    return 2 + (0 if lead is None else team.review_steps.get(lead[0], 0) * (lead[0] != EXIT))


def _worst(
    work: Estimating, level: Topology, team: TeamSpec, loads: dict[str, tuple[Load, Load]], requests: dict[str, int]
) -> Load:
    """Return what a team takes where all attempts are used, one after the other."""
    pool = _pool(team)
    total = Load(supersteps=2 + 2 * _own_steps(level, requests))
    total += load_of_reviews(work, team, None, {"exit"}, loads)[1]
    for agent in _heads(team):
        if agent not in pool:
            total += _all_attempts(work, team, agent, loads).times(requests.get(agent.name, 1))
    if pool:
        costliest = worst_of(_all_attempts(work, team, agent, loads) for agent in pool)
        total += replace(costliest, supersteps=costliest.supersteps + 1).times(requests[pool[0].name])
    return total


def _own_steps(level: Topology, requests: dict[str, int]) -> int:
    """Return the supersteps of the nodes of a team that are neither gates nor agents."""
    return sum(requests.get(node.id, 1) for node in level.graph.nodes if node.kind == "node")


def _heads(team: TeamSpec) -> list[Agent]:
    """Return the agents that are neither the fallback of another nor reviewers."""
    spare = {other.name for agent in team.agents.values() for other in agent.fallback_chain[1:]} | team.reviewers
    return [agent for name, agent in team.agents.items() if name not in spare]


def _pool(team: TeamSpec) -> list[Agent]:
    """Return the workers to which a planner or router sends; none where each agent works once in a round."""
    ends = team.ends
    if team.requests is None and all(agent.name in team.workers or agent.name in ends for agent in _heads(team)):
        return []
    return [agent for agent in _heads(team) if agent.name in team.workers]


def _rounds(work: Estimating, team: TeamSpec, path: str) -> tuple[int, int]:
    """Return how many rounds are expected, and how many there are at worst."""
    if work.given.rounds is not None:
        return work.given.rounds, work.given.rounds
    bounds = bounds_of(team.guards, Convergence, lambda guard: guard.rounds)
    bounds += [] if team.rounds is None else [team.rounds]
    most = min(bounds, default=_visits(team))
    if bounds and _pool(team):
        return most, most
    if not bounds and _pool(team):
        work.note(
            f"no `Convergence` bounds the rounds: 1 is expected, and {most} at worst by the visits of a gate", path
        )
    return 1, most


def _visits(team: TeamSpec) -> int:
    return min(bounds_of(team.guards, Limits, lambda guard: guard.visits), default=100)


def _looping_nodes(level: Topology, team: TeamSpec) -> frozenset[str]:
    """Return the nodes that may run again, not counting attempts after the first."""
    ends = {edge.ends for edge in level.graph.edges}
    routes = {(gate, target) for gate, targets in team.routes.items() for target in targets}
    back = {(source, target) for source, target in ends if target in team.agents and (target, source) in ends}
    retries = back - routes
    return _looping(edge for edge in level.graph.edges if edge.ends not in retries and edge.source != EXIT)


def _all_attempts(work: Estimating, team: TeamSpec, agent: Agent, loads: dict[str, tuple[Load, Load]]) -> Load:
    """Return what all attempts at one request take at worst, those of fallbacks and of rewriting included."""
    gates = _gates_of(team, agent)
    total = Load()
    for member in agent.fallback_chain:
        retries = [
            guard.on_trip.times
            for guard in (*team.guards, *member.guards)
            if isinstance(guard.on_trip, Retry) and not gates.isdisjoint(guard.gates)
        ]
        once = max(member.attempts, 1 + max(retries, default=0))
        reviews = load_of_reviews(work, team, member, gates, loads)[1]
        total += (load_of_attempt(work, member, loads)[1] + reviews).times(once)
        total += _compensations(work, team, member, gates, loads)
        if "exit" in gates and agent.name not in team.ends and can_retry((*team.guards, *member.guards), at="exit"):
            total += Load(supersteps=once)  # a draft that is given back comes to the exit again
    return total


def _compensations(
    work: Estimating, team: TeamSpec, agent: Agent, gates: set[Gate], loads: dict[str, tuple[Load, Load]]
) -> Load:
    """Return what an agent takes at worst that puts a refused answer right."""
    names = {
        getattr(guard, "compensate", None)
        for guard in leaves(applying((*team.guards, *agent.guards), agents=team.names_of(agent)))
        if not gates.isdisjoint(guard.gates)
    }
    total = Load()
    for name in filter(None, names):
        reviews = load_of_reviews(work, team, team.agents[name], gates, loads)[1]
        total += load_of_attempt(work, team.agents[name], loads)[1] + reviews
    return total


def _gates_of(team: TeamSpec, agent: Agent) -> set[Gate]:
    """Return where an agent's answers may be given back to it."""
    if agent.name in team.ends:
        return {"exit"}
    own: set[Gate] = {"handoff"} if agent.name in team.workers else {"round"}
    return own | ({"exit"} if agent.name in team.drafters else set())


def _capped(work: Estimating, team: TeamSpec, load: Load, path: str) -> Load:
    """Return a load within the caps of a team's guards."""
    found = limits_of(team.guards)
    seconds = found.pop("seconds", None)
    caps: dict[str, Any] = {**dict.fromkeys(("calls", "tokens", "usd")), **found}
    caps["seconds"] = None if seconds is None else ceil(seconds.total_seconds()) + 1
    for name, cap in caps.items():
        if cap is not None:
            work.note(f"the guards of the team cap {name} at {cap}", path)
    return load.within(**caps)
