"""Whether what is declared of a team fits together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, get_origin, get_type_hints

from langgraph.graph import END, START

from guardgraph.agents.agent import Agent
from guardgraph.graphs.declaration import Declaration
from guardgraph.nodes.team_spec import EXIT
from guardgraph.state import BadGraph, RunState

__all__ = ("check_state", "check_team", "check_unique")


def check_team(team: Declaration) -> None:
    """Raise `BadGraph` for what does not fit together: each check names what is wrong."""
    names = check_unique(team)
    reserved = sorted(name for name in names if name.startswith("guard_") or name in (START, END, *team.gates))
    if reserved:
        raise BadGraph(f"these agent names are taken by the team's own nodes: {_listed(reserved)}")
    gates = f"the gates are {_listed(sorted(team.gates)) or 'none yet (`add_gate`)'}"
    _check_members(team, gates)
    _check_ways(team, names, gates)
    _check_begin(team)


def check_unique(team: Declaration, more: Sequence[Agent] = ()) -> Collection[str]:
    """Return the names of all agents and nodes. Raises `BadGraph` where one stands twice."""
    names = Counter([*(agent.name for head in more for agent in head.fallback_chain), *team.own])
    names.update(agent.name for agent in team.agents)
    twice = sorted(name for name, count in names.items() if count > 1)
    if twice:
        raise BadGraph(f"agent names must be unique in a team, these stand twice: {_listed(twice)}")
    return names


def check_state(name: str, state: object) -> None:
    """Raise `BadGraph` for what does not hold the channels that every team has."""
    known: Mapping[str, Any] = getattr(state, "__annotations__", {})
    if not isinstance(state, type) or not known.keys() >= RunState.__annotations__.keys():
        raise BadGraph(f"{name}: `state` must be a `TypedDict` that extends `RunState`, got {state!r}")
    hints, own = get_type_hints(state, include_extras=True), get_type_hints(RunState, include_extras=True)
    lists = {name: kind for name, kind in own.items() if name != "messages" and _is_list_with_reducer(kind)}
    changed = sorted(name for name, kind in lists.items() if hints[name] != kind)
    if changed:
        raise BadGraph(f"{name}: `state` gives other types to channels of the team: {_listed(changed)}")


def _is_list_with_reducer(kind: Any) -> bool:
    return getattr(kind, "__metadata__", None) is not None and get_origin(kind.__origin__) is list


def _check_members(team: Declaration, gates: str) -> None:
    for member in team.members:
        name, to = member.agent.name, member.to
        if to not in team.gates:
            raise BadGraph(f"agent {name!r} leads to a gate {to!r} that there is not; {gates}")
        if member.channel == "plans" and not to.startswith("dispatch"):
            raise BadGraph(f"agent {name!r} plans, and leads to gate {to!r}: only a `dispatch` gate reads plans")
        if name not in {agent.name for agent in team.gates[to].agents}:
            raise BadGraph(f"agent {name!r} leads to gate {to!r}, whose `agents` do not name it")


def _check_ways(team: Declaration, names: Collection[str], gates: str) -> None:
    named = [(f"gate {name!r}", (*gate.agents, *gate.goes)) for name, gate in team.gates.items()]
    named += [("`begin`", team.goes), ("`expected`", team.expected)]
    named += [(f"node {name!r}", own.goes) for name, own in team.own.items()]
    for where, goes in named:
        for one in goes:
            _check_known(where, one, {*names, *team.gates, EXIT}, gates)
    agents, leads = {agent.name for agent in team.agents}, team.leads()
    for name, own in team.own.items():
        if name not in leads and _is_round(team, name):
            raise BadGraph(f"node {name!r} leads back to itself, and to no gate")
        if not agents.isdisjoint(own.goes):
            raise BadGraph(f"node {name!r} leads to an agent: give `to=` the agent itself, not its name")


def _is_round(team: Declaration, name: str) -> bool:
    """Whether the edges of one's own nodes lead round, so that nothing ever ends."""
    seen = set[str]()
    while name in team.own and not team.own[name].is_routing:
        if name in seen:
            return True
        seen.add(name)
        name = team.own[name].goes[0]
    return False


def _check_known(where: str, one: object, known: Collection[str], gates: str) -> None:
    if isinstance(one, Agent):
        if one.name not in known:
            raise BadGraph(f"{where} names the agent {one.name!r}, who was not added (`add_agents`)")
    elif one not in known:
        raise BadGraph(f"{where} names {one!r}, which is no gate, agent or node of the team; {gates}")


def _check_begin(team: Declaration) -> None:
    if callable(team.begin):
        if iscoroutinefunction(team.begin):
            raise BadGraph("`begin` must be a plain function that is not async")
        return
    begin = {agent.name for agent in team.begin}
    if team.author is not None and team.author.name in begin and len(begin) > 1:
        raise BadGraph(f"the author {team.author.name!r} writes once work has ended, and cannot be one of `begin`")
    led = sorted({member.to for member in team.members if member.agent.name in begin})
    if len(led) > 1:
        raise BadGraph(f"the agents of `begin` work at once and must lead to one gate, not to {_listed(led)}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
