"""The exchange of messages between peers: take in what was sent, deliver it, and end a conversation that is over."""

from __future__ import annotations

from langgraph.types import Overwrite

from guardgraph.nodes.decisions.conversation import (
    circle_of,
    open_asks,
    repeated_handoffs,
    repeated_message,
    returned_handoff,
)
from guardgraph.nodes.decisions.delivery import deliver, send_task
from guardgraph.nodes.decisions.negotiation import AcceptanceRule, Proposal, agreed, proposals_of
from guardgraph.nodes.decisions.posting import post_no_answers, take_in
from guardgraph.nodes.decisions.swarm_endings import conclude, conclude_with, conclude_with_provisional
from guardgraph.nodes.decisions.swarm_state import (
    Control,
    SwarmRules,
    control_of,
    is_answer,
    latest_results,
    silent_peers,
    write_control,
)
from guardgraph.nodes.decisions.tie_break import break_tie
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import Message

__all__ = ("begin", "exchange")


def begin(gate: GateContext, *, rules: SwarmRules) -> Destination:
    """Send the task to the peers that begin."""
    gate.write(log=Overwrite([]), exchanged=Overwrite([]), pending={}, memories={}, agreement=None)
    write_control(gate, Control(peer=rules.start[0].name))
    return send_task(gate, rules)


def exchange(gate: GateContext, *, rules: SwarmRules) -> Destination:
    """Take in the messages of new results, and deliver them; once there are none, end the run."""
    new = take_in(gate, rules)
    log: list[Message] = gate.state["log"]
    found = _agreed(gate, rules)
    if found is not None:
        return conclude_with(gate, found, by="acceptance")
    if control_of(gate).tie is None:
        names = repeated_handoffs(log, window=rules.window, distinct=rules.distinct)
        if names:
            reason = f"the last {rules.window} handoffs went round {', '.join(names)}"
            return break_tie(gate, rules, "Oscillation", reason)
        cycle = returned_handoff(log) if new else []
        if cycle:
            reason = f"the same work is handed over in a cycle: {' -> '.join(cycle)}"
            return break_tie(gate, rules, "Cycle", reason)
        again = repeated_message(log, new, times=rules.repeats)
        if again is not None:
            reason = f"{again.sender!r} has sent the same message {rules.repeats} times ({again.performative})"
            return break_tie(gate, rules, "Oscillation", reason)
    return deliver(gate, rules) or _at_rest(gate, rules)


def _at_rest(gate: GateContext, rules: SwarmRules) -> Destination:
    """Return where a run goes in which nothing is left to deliver."""
    if control_of(gate).tie is not None:
        return conclude(gate, rules) if rules.acceptance is None else conclude_with_provisional(gate, rules)
    silent = silent_peers(gate, rules)
    asks = [ask for ask in open_asks(gate.state["log"]) if ask.message.sender not in silent]
    answered = {name for name, result in latest_results(gate, rules).items() if is_answer(result)}
    circle = circle_of(ask for ask in asks if ask.message.sender not in answered)
    if circle:
        waits = " -> ".join((*circle, circle[0]))
        return break_tie(gate, rules, "Deadlock", f"each waits for an answer of the next: {waits}")
    if asks:
        post_no_answers(gate, rules, asks)
        return deliver(gate, rules) or _at_rest(gate, rules)  # no ask is open any more
    if rules.acceptance is not None:
        return break_tie(gate, rules, "Acceptance", f"no proposal was accepted ({_named(rules.acceptance)})")
    return conclude(gate, rules)


def _agreed(gate: GateContext, rules: SwarmRules) -> Proposal | None:
    if rules.acceptance is None:
        return None
    voters = {agent.name for agent in rules.peers} - silent_peers(gate, rules)
    return agreed(proposals_of(gate.state["log"]), rules.acceptance, voters)


def _named(rule: AcceptanceRule) -> str:
    return rule if isinstance(rule, str) else ", ".join(rule)
