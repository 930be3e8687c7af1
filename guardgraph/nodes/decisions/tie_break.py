"""A conversation that does not end by itself is ended: by the tie-breaker, or in an imposed order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError, create_model

from guardgraph.agents.results import gap_of
from guardgraph.nodes.decisions.conversation import TEAM
from guardgraph.nodes.decisions.delivery import deliver
from guardgraph.nodes.decisions.negotiation import Proposal, proposals_of
from guardgraph.nodes.decisions.review import agents_by_name, retry, retry_request
from guardgraph.nodes.decisions.swarm_endings import (
    candidates,
    conclude_with,
    conclude_with_provisional,
    miss_pending,
)
from guardgraph.nodes.decisions.swarm_state import SwarmRules, control_of, silent_peers, write_control
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import ContextItem, EarlyStop, FrozenModel, Result, Verdict, validation_text

__all__ = ("TieBreak", "break_tie", "tie_break_of", "use_tie_break")


class TieBreak(FrozenModel):
    """The answer of a tie-breaker: exactly one of the three."""

    order: tuple[str, ...] = Field(default=(), description="peers, by name, that are to answer one after the other")
    proposal: str | None = Field(default=None, description="the title of the proposal that is to hold")
    answer: JsonValue = Field(default=None, description="a provisional answer of your own")


def tie_break_of(peers: Sequence[str]) -> Any:
    """Return the schema of a tie-breaker's answer, which names peers only."""
    names: Any = tuple[Literal[tuple(peers)], ...]
    return create_model("TieBreak", __base__=TieBreak, order=(names, ()))


def break_tie(gate: GateContext, rules: SwarmRules, by: str, reason: str) -> Destination:
    """Let the tie-breaker decide, impose the declared order, or end the run with a provisional answer."""
    verdict = Verdict(guard=by, gate="handoff", subject=gate.node, action="trip", reason=reason)
    gate.emit(verdict)
    gate.write_unchecked(verdicts=[verdict])
    tie = EarlyStop(status="degraded", stopped_by=by, reason=reason)
    write_control(gate, control_of(gate), tie=tie)
    if rules.tie_breaker is None:
        return _impose(gate, rules, rules.order)
    given: Sequence[ContextItem] = gate.state.get("context") or ()
    why = ContextItem(kind="background", title="why you decide", value=reason, sender=TEAM, origin="code")
    send = gate.send(rules.tie_breaker, context=[*given, why, *candidates(gate, rules)])
    stop = gate.next_round()
    sends = gate.allowed([send]) if stop is None else []
    return sends or conclude_with_provisional(gate, rules)


def use_tie_break(gate: GateContext, *, rules: SwarmRules) -> Destination:
    """Do what the tie-breaker has answered; what cannot be used goes back to it, and in the end is a gap."""
    result = gate.reviewed[-1] if gate.reviewed else None
    if result is None or result not in gate.accepted:
        return conclude_with_provisional(gate, rules)
    proposals = {one.message.id: one for one in proposals_of(gate.state["log"])}
    try:
        answer = TieBreak.model_validate(result.value)
        objection = _objection(answer, rules, proposals)
    except ValidationError as error:
        answer, objection = TieBreak(), f"its answer cannot be used: {validation_text(error)}"
    if objection is not None:
        return _ask_again(gate, rules, result, objection) or conclude_with_provisional(gate, rules)
    if answer.proposal is not None:
        return conclude_with(gate, proposals[answer.proposal], by="tie_breaker")
    if answer.order:
        return _impose(gate, rules, answer.order)
    return conclude_with_provisional(gate, rules, result.model_copy(update={"value": answer.answer}))


def _objection(answer: TieBreak, rules: SwarmRules, proposals: dict[str, Proposal]) -> str | None:
    """Return why an answer cannot be used, if so."""
    odd = next((name for name in answer.order if name not in rules.names), None)
    if answer.proposal is not None and answer.proposal not in proposals:
        return f"it names the proposal {answer.proposal!r}, which does not exist"
    if odd is not None:
        return f"it names {odd!r} in its order, which is no peer"
    if answer.proposal is None and not answer.order and answer.answer is None:
        return "it names no order, no proposal and no answer"
    return None


def _ask_again(gate: GateContext, rules: SwarmRules, result: Result, reason: str) -> Destination | None:
    """Refuse an answer that cannot be used; return what makes the tie-breaker try again, if it may."""
    gate.write_unchecked(refused=[result.id])
    gap = gap_of(result, reason=reason)
    known = agents_by_name([] if rules.tie_breaker is None else [rules.tie_breaker])
    again = retry_request(gate, result, known, reason=reason, on_trip=None, gaps=(gap,))
    if again is None or gate.stop_reason() is not None:
        gate.write_unchecked(gaps=[gap])
        return None
    return retry(gate, [again])


def _impose(gate: GateContext, rules: SwarmRules, order: Sequence[str]) -> Destination:
    """Let peers work one after the other; the answer of the last one is the value."""
    silent, control = silent_peers(gate, rules), control_of(gate)
    able = tuple(name for name in dict.fromkeys(order) if name not in silent)
    if not able:
        return conclude_with_provisional(gate, rules)
    pending: dict[str, list[str]] = gate.state["pending"]
    lost = {name: ids for name, ids in pending.items() if name not in able}
    miss_pending(
        gate, lost, by=control.tie and control.tie.stopped_by, reason=control.tie.reason if control.tie else ""
    )
    gate.write(pending={name: ids for name, ids in pending.items() if name in able})
    write_control(gate, control, peer=able[-1], since=gate.round, order=able)
    return deliver(gate, rules) or conclude_with_provisional(gate, rules)
