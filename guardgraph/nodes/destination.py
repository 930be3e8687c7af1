"""What a route answers, read and checked: where it leads, and what it writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from langgraph.types import Command, Send
from pydantic import ValidationError

from guardgraph.nodes.checked_write import shown
from guardgraph.nodes.context import subtasks_by_id
from guardgraph.nodes.team_spec import EXIT, OWN_GAPS, TeamSpec
from guardgraph.state import DelegationScope, Request

__all__ = ("RouteAnswer", "id_clash", "read_answer")


class RouteAnswer(NamedTuple):
    """Where a route leads, and what it writes."""

    ways: list[str | Send]
    nodes: tuple[str, ...]
    """The nodes to which they lead."""
    update: Mapping[str, Any]


def read_answer(team: TeamSpec, answer: object, *, goes: Collection[str]) -> RouteAnswer | str:
    """Return what a route has answered, or what is wrong with it.

    It may go on to the nodes of `goes`, or to where a run ends; what is sent to an agent has to be a request.
    """
    command = answer if isinstance(answer, Command) else None
    given = _listed(answer if command is None else command.goto)
    leaves = command is not None and command.graph is not None
    update: Any = None if command is None else command.update
    known = ", ".join(map(repr, sorted({*goes, *team.ends})))
    if leaves or not given or not all(isinstance(one, str | Send) for one in given):
        return f"answered {shown(answer)}, which leads nowhere; it may go to {known}"
    ways = [one if isinstance(one, Send) else team.nodes.get(one, one) for one in given]
    nodes = tuple(one.node if isinstance(one, Send) else one for one in ways)
    unknown = [node for node in nodes if node not in goes and node not in team.ends]
    if unknown:
        return f"went to {unknown[0]!r}, which is none of those to which it may go: {known}"
    if len(nodes) > 1 and not team.ends.isdisjoint(nodes):
        return f"went to {', '.join(map(repr, nodes))}, though what ends the run cannot go on"
    met = {team.leads.get(node, (node, 0)) for node in nodes}
    if len(met) > 1:
        gates = ", ".join(sorted({repr(gate) for gate, _ in met}))
        return f"went to {', '.join(map(repr, nodes))} at once, which do not meet in one gate: they lead to {gates}"
    odd = next((one for one in ways if isinstance(one, Send) and not _fits(one, team)), None)
    if odd is not None:
        return f"sent {shown(odd.arg)} to {odd.node!r}, which is no request (`GateContext.send` makes one)"
    if update is not None and not (isinstance(update, Mapping) and all(isinstance(key, str) for key in update)):
        return f"answered a `Command` with the update {shown(update)}, which is no mapping of channels"
    return RouteAnswer(ways, nodes, update or {})


def id_clash(team: TeamSpec, state: Mapping[str, Any], sends: Collection[Send]) -> str | None:
    """Return what is wrong with the ids of subtasks that are sent: an id stands for one piece of work in a run."""
    planned = subtasks_by_id(state)
    for send in sends if team.agents else ():
        subtask = Request.model_validate(send.arg["request"]).subtask if send.node in team.agents else None
        if subtask is None or planned.get(subtask.id) == subtask:
            continue
        if subtask.id in planned or subtask.id in team.agents or subtask.id in OWN_GAPS:
            return f"sent the subtask {subtask.id!r}, whose id stands for something else; give it another one"
        planned[subtask.id] = subtask
    return None


def _listed(answer: Any) -> list[Any]:
    return [*answer] if isinstance(answer, list | tuple) else [answer]


def _fits(way: Send, team: TeamSpec) -> bool:
    """Tell whether an agent is sent a request; a user's own nodes may be given anything."""
    if way.node == EXIT or way.node in team.nodes.values():  # they read the state
        return False
    if way.node not in team.agents:
        return True
    try:
        DelegationScope.model_validate(way.arg["position"])
        Request.model_validate(way.arg["request"])
    except (TypeError, KeyError, ValidationError):
        return False
    return True
