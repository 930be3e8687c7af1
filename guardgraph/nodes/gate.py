"""The node of a gate: it decides, calls its route, checks the destination, and stops what has to end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained, GraphInterrupt
from langgraph.types import Command, Send
from pydantic import ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.nodes.accepted import subtasks_by_id
from guardgraph.nodes.decisions.reviewers import ask_reviewers_of_new_results
from guardgraph.nodes.early_stop import too_few_steps
from guardgraph.nodes.gate_context import Destination, GateContext, Route
from guardgraph.nodes.judging import plan_subtasks
from guardgraph.nodes.state_update import short_repr
from guardgraph.nodes.team_spec import EXIT, OWN_GAPS, TeamSpec
from guardgraph.state import (
    BadInput,
    DelegationScope,
    EarlyStop,
    PatternError,
    Request,
    StorageError,
    error_place,
    error_text,
)

__all__ = ("Decide", "gate_node", "run_route")

Decide = Callable[[GateContext, Sequence[Agent]], Destination | None]
"""Decides about new results; `None` leaves the destination to the route of the gate."""


def gate_node(
    team: TeamSpec, node: str, decide: Decide, *, agents: Sequence[Agent], route: Route, destinations: Collection[str]
) -> Callable[..., Any]:
    """Return a gate of `team`: its destination is what `decide` returns for `agents`, or else what `route` returns.

    Before it decides about results, reviewers give the opinions that its guards need. It may go to `destinations`, to
    the author of the team and to its exit; anything else ends the run as failed. Before the run goes on, all that ends
    one is checked: deadline, budget, rounds, visits of this gate (`Limits`), and LangGraph's `recursion_limit`. What is
    sent to workers is judged by the guards of `dispatch`. Raises `PatternError` where `route` raises.
    """

    def decide_or_route(gate: GateContext) -> Destination:
        decided = decide(gate, agents)
        return route(gate) if decided is None else decided

    def gate_of_team(state: Mapping[str, Any], config: RunnableConfig) -> Command[Any]:
        gate = GateContext(team, node, state, config)
        sends = ask_reviewers_of_new_results(gate, agents) if "handoff" in team.kinds.get(node, ()) else []
        if sends:  # it decides about all results at once, when it is reached with the opinions: that is one visit
            return gate.command(sends)
        ending: EarlyStop | None = gate.state.get("ending")
        if ending is not None and ending != state.get("ending"):  # by a guard that has judged what a reviewer is sent
            return gate.command(gate.end(ending))
        gate.write_unchecked(visits={node: 1})
        return run_route(gate, decide_or_route, destinations=destinations)

    gate_of_team.__name__ = node
    return gate_of_team


def run_route(gate: GateContext, route: Route, *, destinations: Collection[str]) -> Command[Any]:
    """Return the update of a gate and the destination that its route returns, unless something ends the run before."""
    try:
        return _checked(gate, _answer(gate, route), destinations)
    except BadInput as error:
        gate.write_unchecked(ending=EarlyStop(status="failed", reason=f"the route of {gate.node!r} {error}"))
        return gate.command(EXIT)


def _answer(gate: GateContext, route: Route) -> object:
    try:
        return route(gate)
    except (GraphInterrupt, GraphDrained, StorageError, PatternError):
        raise
    except (Exception, SystemExit) as error:
        what = f"the route of {gate.node!r} raised {error_text(error)} ({error_place(error)})"
        raise PatternError(what, node=gate.node) from error


def _checked(gate: GateContext, answer: object, destinations: Collection[str]) -> Command[Any]:
    targets, update = _targets(gate.team, answer, destinations)
    nodes = tuple(map(_node, targets))
    gate.write(**update)
    if nodes == (EXIT,):
        return gate.command(EXIT)
    steps = max(map(gate.team.steps_to_end, nodes))
    is_end = not gate.team.ends.isdisjoint(nodes)
    stop = too_few_steps(gate.state, steps) if is_end else gate.stop_reason(steps=steps)
    if stop is not None:
        plan_subtasks(gate, [target for target in targets if isinstance(target, Send)])
        return gate.command(gate.stop_for(stop))
    targets = _distinct(gate, targets)
    sends = [target for target in targets if isinstance(target, Send)]
    _check_ids(gate, sends)
    allowed = {id(send): send for send in gate.allowed(sends)}
    targets = [target for target in targets if not isinstance(target, Send) or allowed.pop(id(target), None)]
    targets += allowed.values()  # what is sent to a fallback instead
    ending, trip = cast("EarlyStop | None", gate.state.get("ending")), gate.last_trip
    if ending is not None and ending.status == "escalated":
        return gate.command(gate.end(ending))
    if not targets and trip is not None:
        return gate.command(gate.end(ending or EarlyStop(status="degraded", stopped_by=trip.guard, reason=trip.reason)))
    for names, gap in gate.handoffs:
        if not set(names).isdisjoint(nodes):  # nothing is missing where another agent takes over
            gate.withdraw([gap])
    return gate.command(targets)


def _targets(
    team: TeamSpec, answer: object, destinations: Collection[str]
) -> tuple[Sequence[str | Send], Mapping[str, Any]]:
    """Return the nodes and sends that a route has answered, and its update.

    Raises `BadInput` for anything but `destinations` or those that end a run; an agent has to be sent a request.
    """
    command = answer if isinstance(answer, Command) else None
    goto: Any = answer if command is None else command.goto
    given: list[Any] = [*goto] if isinstance(goto, list | tuple) else [goto]
    update: Any = {} if command is None or command.update is None else command.update
    agent = next((one for one in given if isinstance(one, Agent)), None)
    if agent is not None:
        raise BadInput(f"answered the agent {agent.name!r} itself; answer `gate.send(…)` of it, or its name")
    is_outside = command is not None and command.graph is not None
    if is_outside or not given or not all(isinstance(one, str | Send) for one in given):
        raise BadInput(f"answered {short_repr(answer)}, which leads nowhere; it may go to {_known(team, destinations)}")
    targets = [one if isinstance(one, Send) else team.nodes.get(one, one) for one in given]
    nodes = tuple(map(_node, targets))
    unknown = [node for node in nodes if node not in destinations and node not in team.ends]
    if unknown:
        known = _known(team, destinations)
        raise BadInput(f"went to {unknown[0]!r}, which is none of its destinations: {known}; name it in `destinations`")
    listed = ", ".join(map(repr, nodes))
    if len(nodes) > 1 and not team.ends.isdisjoint(nodes):
        raise BadInput(f"went to {listed}, though what ends the run cannot go on")
    met = {team.leads.get(node, (node, 0)) for node in nodes}
    if len(met) > 1:
        gates = ", ".join(sorted({repr(gate) for gate, _ in met}))
        raise BadInput(f"went to {listed} at once, which do not meet in one gate: they lead to {gates}")
    odd = next((one for one in targets if isinstance(one, Send) and not _is_request(one, team)), None)
    if odd is not None:
        what = f"sent {short_repr(odd.arg)} to {odd.node!r}, which is no request (`GateContext.send` makes one)"
        raise BadInput(what)
    if not (isinstance(update, Mapping) and all(isinstance(key, str) for key in update)):
        raise BadInput(f"answered a `Command` with the update {short_repr(update)}, which is no mapping of channels")
    return targets, update


def _known(team: TeamSpec, destinations: Collection[str]) -> str:
    return ", ".join(map(repr, sorted({*destinations, *team.ends})))


def _node(target: str | Send) -> str:
    return target.node if isinstance(target, Send) else target


def _is_request(send: Send, team: TeamSpec) -> bool:
    """Whether an agent is sent a request; a user's own nodes may be given anything."""
    if send.node == EXIT or send.node in team.nodes.values():  # they read the state
        return False
    if send.node not in team.agents:
        return True
    try:
        for name, model in (("position", DelegationScope), ("request", Request)):
            if not isinstance(send.arg[name], model):
                model.model_validate(send.arg[name])
    except (TypeError, KeyError, ValidationError):
        return False
    return True


def _distinct(gate: GateContext, targets: Sequence[str | Send]) -> list[str | Send]:
    """Return the targets, each a different object, with the task as a whole for each agent that a route has named."""
    found, seen = list[str | Send](), set[int]()
    for target in targets:
        if isinstance(target, str):
            found.append(gate.send(gate.team.agents[target]) if target in gate.team.agents else target)
        else:
            found.append(Send(target.node, target.arg) if id(target) in seen else target)
            seen.add(id(target))
    return found


def _check_ids(gate: GateContext, sends: Collection[Send]) -> None:
    """Raise `BadInput` for a subtask whose id belongs to another one, or to an agent."""
    team, planned = gate.team, subtasks_by_id(gate.state)
    for send in sends:
        subtask = Request.model_validate(send.arg["request"]).subtask if send.node in team.agents else None
        if subtask is None or planned.get(subtask.id) == subtask:
            continue
        if subtask.id in planned or subtask.id in team.agents or subtask.id in OWN_GAPS:
            what = f"sent the subtask {subtask.id!r}, whose id is taken; give it another one"
            raise BadInput(what)
        planned[subtask.id] = subtask
