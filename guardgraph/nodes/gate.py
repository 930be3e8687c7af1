"""The node of a gate: it decides, asks its route where to go, and lets nothing go on once something ends the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained, GraphInterrupt
from langgraph.types import Command, Send

from guardgraph.agents.agent import Agent
from guardgraph.nodes.destination import RouteAnswer, id_clash, read_answer
from guardgraph.nodes.early_stop import too_few_steps
from guardgraph.nodes.gate_context import Destination, GateContext, Route
from guardgraph.nodes.judging import plan_subtasks
from guardgraph.nodes.team_spec import EXIT, TeamSpec
from guardgraph.state import BadInput, EarlyStop, PatternError, StorageError, error_place, error_text

__all__ = ("Decide", "gate_node", "settled")

Decide = Callable[[GateContext, Sequence[Agent]], Destination | None]
"""What a gate decides about what has come back; `None` leaves it to the route of the gate."""


def gate_node(
    team: TeamSpec, node: str, decide: Decide, *, agents: Sequence[Agent], then: Route, goes: Collection[str]
) -> Callable[..., Any]:
    """Return a gate of `team`: it does what `decide` says about `agents`, and where that leaves it open, `then`.

    It may go to the nodes of `goes`, to the author of the team and to its exit; anything else ends the run as failed.
    Before anything goes on it is checked what ends a run: deadline, budget, rounds, visits of this gate (`Limits`), and
    LangGraph's `recursion_limit`. What is sent to workers is judged by the guards of `dispatch`. Raises `PatternError`
    where `then` raises.
    """

    def gate(state: Mapping[str, Any], config: RunnableConfig) -> Command[Any]:
        here = GateContext(team, node, state, config)
        here.note(visits={node: 1})

        def route(gate: GateContext) -> Destination:
            decided = decide(gate, agents)
            return then(gate) if decided is None else decided

        return settled(here, route, goes=goes)

    gate.__name__ = node
    return gate


def settled(gate: GateContext, route: Route, *, goes: Collection[str]) -> Command[Any]:
    """Return what a gate writes, and where its route leads, unless something ends the run before."""
    answer = _read(gate, route, goes)
    if isinstance(answer, str):
        return _failed(gate, answer)
    if answer.nodes == (EXIT,):
        return gate.command(EXIT)
    steps = max(map(gate.team.steps_to_end, answer.nodes))
    is_end = not gate.team.ends.isdisjoint(answer.nodes)
    stop = too_few_steps(gate.state, steps) if is_end else gate.must_stop(steps=steps)
    if stop is not None:
        plan_subtasks(gate, [way for way in answer.ways if isinstance(way, Send)])
        return gate.command(gate.stop_early(stop))
    ways = _ways(gate, answer.ways)
    clash = id_clash(gate.team, gate.state, [way for way in ways if isinstance(way, Send)])
    if clash is not None:
        return _failed(gate, clash)
    ways = _allowed(gate, ways)
    if not ways:
        return gate.command(gate.end(gate.state.get("ending") or _stopped(gate)))
    for names, gap in gate.handoffs:
        if not set(names).isdisjoint(answer.nodes):  # nothing is missing of what others take over
            gate.withdraw([gap])
    return gate.command(ways)


def _failed(gate: GateContext, what: str) -> Command[Any]:
    gate.note(ending=EarlyStop(status="failed", reason=f"the route of {gate.node!r} {what}"))
    return gate.command(EXIT)


def _read(gate: GateContext, route: Route, goes: Collection[str]) -> RouteAnswer | str:
    """Return what a route answers, or why that leads nowhere."""
    try:
        said: object = route(gate)
    except (GraphInterrupt, GraphDrained, StorageError, PatternError):  # a question, a stop, a fault of the storage
        raise
    except (Exception, SystemExit) as error:
        what = f"the route of {gate.node!r} raised {error_text(error)} ({error_place(error)})"
        raise PatternError(what, node=gate.node) from error
    answer = read_answer(gate.team, said, goes=goes)
    if isinstance(answer, RouteAnswer):
        try:
            gate.write(**answer.update)
        except BadInput as error:
            return str(error)
    return answer


def _ways(gate: GateContext, ways: Sequence[str | Send]) -> list[str | Send]:
    """Return what sends the task as a whole, where a route names an agent; whatever is sent twice is sent anew."""
    found, seen = list[str | Send](), set[int]()
    for way in ways:
        if isinstance(way, str):
            found.append(gate.send(gate.team.agents[way]) if way in gate.team.agents else way)
        else:
            found.append(Send(way.node, way.arg) if id(way) in seen else way)
            seen.add(id(way))
    return found


def _allowed(gate: GateContext, ways: Sequence[str | Send]) -> list[str | Send]:
    """Return the ways without what the guards of `dispatch` stop."""
    sends = [way for way in ways if isinstance(way, Send)]
    allowed = {id(send) for send in gate.allow(sends)}
    ending: EarlyStop | None = gate.state.get("ending")
    if ending is not None and ending.status == "escalated":
        return []
    return [way for way in ways if not isinstance(way, Send) or id(way) in allowed]


def _stopped(gate: GateContext) -> EarlyStop:
    """Return what ends a run of which a guard has stopped all that would go on."""
    trip = gate.last_trip
    by, reason = (trip.guard, trip.reason) if trip else ("Limits", "no more subtasks may be sent")
    return EarlyStop(status="degraded", stopped_by=by, reason=reason)
