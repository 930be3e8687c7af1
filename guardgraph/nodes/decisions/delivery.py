"""Messages are delivered: all that is pending at once, or to one peer after the other where an order was imposed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.conversation import TEAM
from guardgraph.nodes.decisions.swarm_endings import conclude, miss_pending
from guardgraph.nodes.decisions.swarm_state import SwarmRules, control_of, write_control
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import Message

__all__ = ("deliver", "send_task")

_ALONE = "You decide now: the others wait for each other. Answer with what you have; do not ask, and do not hand over."


def send_task(gate: GateContext, rules: SwarmRules) -> Destination:
    """Return the sends of the task to the peers that begin."""
    return [_send(gate, agent, (), memory=None) for agent in rules.start]


def deliver(gate: GateContext, rules: SwarmRules) -> Destination | None:
    """Return the sends that deliver all that is pending, batched for each recipient; `None` where nothing is."""
    pending: dict[str, list[str]] = gate.state["pending"]
    control = control_of(gate)
    with_messages = [agent.name for agent in rules.peers if pending.get(agent.name)]
    order = [name for name in control.order if name in rules.names]
    turn = with_messages if control.tie is None else order[:1]
    if not turn:
        return None
    stop = gate.next_round()
    if stop is not None:
        miss_pending(gate, pending, by=stop.stopped_by, reason=stop.reason)
        gate.stop_for(stop)
        return conclude(gate, rules)
    by_id = {message.id: message for message in gate.state["log"]}
    agents = {agent.name: agent for agent in rules.peers}
    memories, sends = gate.state["memories"], list[Any]()
    for name in turn:
        messages = [by_id[id_] for id_ in pending.get(name, ())]
        if control.tie is not None:
            is_declared = rules.tie_breaker is None  # else an agent has chosen the order
            alone = Message(recipients=(name,), content=_ALONE, sender=TEAM, id="alone", trusted=is_declared)
            messages.append(alone)
        sends.append(_send(gate, agents[name], messages, memory=memories.get(name)))
    gate.write(pending={name: ids for name, ids in pending.items() if name not in turn})
    write_control(gate, control, order=tuple(order[1:]))
    allowed = gate.allowed(sends)
    if gate.state.get("ending") is not None:
        return gate.end(gate.state["ending"])
    return allowed or deliver(gate, rules)


def _send(gate: GateContext, agent: Agent, messages: Sequence[Message], *, memory: JsonValue) -> Any:
    """Return what makes a peer work: on the task, its messages and what it has kept, and nothing of the others."""
    mine = (one for one in gate.state.get("results") or () if one.role == agent.name)
    trusted = memory is None or all(one.trusted for one in mine)  # what it has kept comes from its own answers
    return gate.send(agent, context=gate.state.get("context") or (), messages=messages, memory=memory, trusted=trusted)
