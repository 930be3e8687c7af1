"""How a swarm ends: with an answer, with the proposal that was accepted, or with the best there is, as provisional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardgraph.nodes.context import result_item
from guardgraph.nodes.decisions.negotiation import Proposal, proposals_of
from guardgraph.nodes.decisions.swarm_state import SwarmRules, control_of, is_answer, peer_results
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import ContextItem, Gap, Result, ResultStatus, Usage

__all__ = ("candidates", "conclude", "conclude_with", "conclude_with_provisional", "miss_pending")


def conclude(gate: GateContext, rules: SwarmRules) -> Destination:
    """End the run with the answer of the peer that has control.

    Where it has not answered, the value is another answer, with a gap; after a tie it is provisional.
    """
    control = control_of(gate)
    answers = [one for one in peer_results(gate, rules) if is_answer(one)]
    own = [one for one in answers if one.role == control.peer]
    counting = [one for one in own if one.round > control.since]
    if control.tie is not None and not counting:
        return conclude_with_provisional(gate, rules)
    if not answers:
        gate.write_unchecked(refused=[one.id for one in gate.accepted])
        return gate.conclude() if gate.state.get("ending") else gate.stop("failed", reason="no peer has answered")
    if gate.team.author is not None:
        return _let_author_write(gate, ())
    answer = (counting or own or answers)[-1]
    if not counting and all(gap.subtask != control.peer for gap in gate.gaps):
        reason = f"it has not answered; the value is the answer of {answer.role!r}"
        if answer.role == control.peer:
            reason = "it has not answered since it was handed over to; the value is its earlier answer"
        gate.write_unchecked(
            gaps=[Gap(subtask=control.peer, agent=control.peer, reason=reason, round=gate.round)],
        )
    return gate.conclude(answer)


def conclude_with(gate: GateContext, proposal: Proposal, *, by: str) -> Destination:
    """End the run with the content of a proposal."""
    message = proposal.message
    gate.write(
        agreement={
            "by": by,
            "proposal": message.id,
            "proposer": message.sender,
            "content": message.content,
            "accepted": sorted(proposal.accepted),
            "rejected": sorted(proposal.rejected),
        },
        pending={},
    )
    if gate.team.author is not None:
        return _let_author_write(gate, [proposal])
    return gate.conclude(_draft_of(gate, proposal))


def conclude_with_provisional(gate: GateContext, rules: SwarmRules, answer: Result | None = None) -> Destination:
    """End the run with the best there is, marked as provisional: `answer`, an open proposal, or an answer."""
    tie = control_of(gate).tie
    if tie is not None:
        gate.end(tie)
        miss_pending(gate, gate.state["pending"], by=tie.stopped_by, reason=tie.reason)
    proposals = [one for one in proposals_of(gate.state["log"]) if one.is_open]
    answers = [one for one in peer_results(gate, rules) if is_answer(one)]
    if answer is None and proposals:
        answer = _draft_of(gate, max(proposals, key=lambda one: len(one.accepted)))
    answer = answer or (answers[-1] if answers else None)
    if answer is None:
        gate.write_unchecked(refused=[one.id for one in gate.accepted])  # what is no answer is no value of the team
        return gate.conclude()
    if gate.team.author is not None:
        return _let_author_write(gate, proposals, status="provisional")
    return gate.conclude(answer.model_copy(update={"status": "provisional"}))


def candidates(gate: GateContext, rules: SwarmRules) -> list[ContextItem]:
    """Return what can be decided about: the open proposals, else the latest answers."""
    proposals = [one for one in proposals_of(gate.state["log"]) if one.is_open]
    if proposals:
        return [_item(one) for one in proposals]
    latest = {one.role: one for one in peer_results(gate, rules) if is_answer(one)}
    return [result_item(one, name) for name, one in latest.items()]


def miss_pending(gate: GateContext, pending: Mapping[str, Sequence[str]], *, by: str | None, reason: str) -> None:
    """Write the gap of messages that are not delivered any more, if there are any."""
    count = sum(map(len, pending.values()))
    if count:
        what = "1 message was" if count == 1 else f"{count} messages were"
        gap = Gap(subtask="run", reason=f"{what} not delivered: {reason}", guard=by, round=gate.round)
        gate.write_unchecked(gaps=[gap])


def _draft_of(gate: GateContext, proposal: Proposal) -> Result:
    """Return the result that made a proposal, with the proposal as its value."""
    message = proposal.message
    source = next(one for one in gate.accepted if message.id.startswith(f"{one.id}/"))
    trusted = message.trusted and all(one.trusted for one in gate.accepted)  # the others have chosen it
    changes = {"value": message.content, "evidence": message.evidence or source.evidence, "trusted": trusted}
    return source.model_copy(update=changes)


def _item(proposal: Proposal) -> ContextItem:
    message = proposal.message
    return ContextItem(
        kind="result", title=message.id, sender=message.sender, value=message.content, evidence=message.evidence,
        confidence=message.confidence, reasoning=message.reasoning, origin="agent", trusted=message.trusted,
    )  # fmt: skip


def _let_author_write(gate: GateContext, proposals: Sequence[Proposal], *, status: ResultStatus = "ok") -> Destination:
    """End the run with what the author writes from all answers and `proposals`; these are the value if it fails."""
    results = [
        _draft_of(gate, one).model_copy(
            update={
                "id": f"{one.message.id}/proposal", "subtask": "proposal", "status": status, "messages": (),
                "memory": None, "usage": Usage(),
            }
        )
        for one in proposals
    ]  # fmt: skip
    gate.write_unchecked(
        results=results,
        accepted=[one.id for one in results],
        refused=[one.id for one in gate.accepted if one.value is None],  # what is no answer is nothing to write from
    )
    return gate.conclude()
