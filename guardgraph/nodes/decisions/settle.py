"""Settle what a panel has answered: by its vote, by a judge, by a tie-breaker, or by a person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from guardgraph.agents.agent import Agent
from guardgraph.agents.results import gap_of
from guardgraph.nodes.decisions.panel import Candidate, PanelVote, confidence_of
from guardgraph.nodes.decisions.review import retry, retry_request, review_results
from guardgraph.nodes.decisions.rubric import JudgeDecision
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import BadInput, ContextItem, EarlyStop, Result, RunState

__all__ = (
    "ConsensusState",
    "conclude_panel",
    "refuse_unreadable",
    "review_what_is_back",
    "send_candidates",
    "settle",
    "use_answer",
)

_DEBATE = "The results A, B, … are the anonymous answers of this panel, in random order. Keep your answer or revise it."


class ConsensusState(RunState, total=False):
    """The state of a panel."""

    decision: dict[str, Any] | None
    """How it was decided, as JSON data: `by` (`vote`, `judge` or `tie_breaker`), the labels that were `chosen`, the
    `candidates` and the `support` of each by label, and the `scores` that a judge has given (their weighted totals)."""


def review_what_is_back(gate: GateContext, agents: Sequence[Agent]) -> Destination | None:
    """Review results as `review_results` does; where that stops the run early, the route decides with what is back."""
    destination = review_results(gate, agents)
    ending: EarlyStop | None = gate.state.get("ending")
    return None if ending is not None and ending.status == "degraded" else destination


def refuse_unreadable(gate: GateContext, vote: PanelVote) -> None:
    """Refuse the answers that cannot be counted; each is a gap."""
    gate.write_unchecked(
        refused=[result.id for result, _ in vote.unreadable],
        gaps=[gap_of(result, reason=reason) for result, reason in vote.unreadable],
    )


def conclude_panel(
    gate: GateContext, vote: PanelVote, earlier: Iterable[Result], *, quorum: int, panel_size: int
) -> bool:
    """Drop what a later answer replaces; return whether the run ends without a quorum."""
    current = {result.id for result in vote.answers}
    gate.write_unchecked(refused=[one.id for one in earlier if one.id not in current])
    answered = len(vote.answers)
    if 0 < answered < quorum:
        gate.stop(
            "escalated", by="quorum", reason=f"{answered} of {panel_size} agents have answered, {quorum} are needed"
        )
    return answered < quorum


def send_candidates(
    gate: GateContext, agent: Agent, vote: PanelVote, candidates: Iterable[Candidate], *, own: bool = False
) -> Any:
    """Return what makes an agent work with anonymous candidates: without names, and without how many support each.

    They are the only results that it receives: those that the team was given itself come as background. With `own` the
    agent is a panelist who revises an answer, and receives its own one too.
    """
    names = {member.name for member in agent.fallback_chain}
    mine = [result for result in vote.answers if result.agent in names] if own else []
    notes = [ContextItem(kind="background", title="debate", value=_DEBATE, origin="code", trusted=True)] if own else []
    notes += [
        ContextItem(kind="background", title="your answer so far", value=one.value, origin="agent", trusted=one.trusted)
        for one in mine
    ]
    given: Sequence[ContextItem] = gate.state.get("context") or ()
    background = [one.model_copy(update={"kind": "background"}) if one.kind == "result" else one for one in given]
    return gate.send(agent, context=[*background, *notes, *(one.context for one in candidates)])


def settle(
    gate: GateContext,
    panel: Sequence[Agent],
    vote: PanelVote,
    among: Sequence[Candidate],
    deciding: Sequence[Agent],
) -> Destination:
    """Return where a decision leads: to the end with the winner, to the first agent of `deciding`, or to a person.

    Where no agent can decide (none is left, or time, budget or steps are short), the candidate that most of the panel
    support wins, provided that no voting rule asks for more.
    """
    if vote.winner is not None:
        return _conclude(gate, panel, vote, [vote.winner], by="vote")
    stop: EarlyStop | None = gate.state.get("ending") or gate.stop_reason()
    for agent in deciding if stop is None else ():
        send = send_candidates(gate, agent, vote, among)
        if sends := gate.allowed([send]):
            return sends
        if gate.state.get("ending") is not None:  # a guard of `dispatch` has ended the run
            return gate.end(gate.state["ending"])
    leading = vote.most_supported([one.label for one in among]) if vote.count is None else None
    if leading is not None:
        if stop is not None and gate.state.get("ending") is None:
            gate.stop_for(stop)
        return _conclude(gate, panel, vote, [leading], by="vote")
    is_tie = vote.count is None or len(vote.count.winners) > 1 or len(among) < len(vote.candidates)
    reason = f"{len(among)} candidates are tied" if is_tie else "no candidate has enough votes"
    late = f", and there is no time or budget to decide: {stop.reason}" if stop is not None else ""
    by = stop.stopped_by if stop is not None else "tie" if is_tie else "vote"
    return gate.stop("escalated", by=by, reason=reason + late)


def use_answer(
    gate: GateContext,
    panel: Sequence[Agent],
    vote: PanelVote,
    agent: Agent,
    read: Callable[[Any, Collection[str]], JudgeDecision],
    rest: Sequence[Agent],
) -> Destination:
    """Return where the answer of a judge or a tie-breaker leads; an unusable one goes back to it with the reason.

    Where it has failed or leaves a tie, the next one of `rest` decides.
    """
    result = gate.reviewed[-1]
    request = gate.request_of(result)
    among = [one for one in vote.candidates if request is not None and one.context in request.context]
    if result not in gate.accepted:
        return settle(gate, panel, vote, among, rest)
    try:
        decision = read(result.value, [one.label for one in among])
    except BadInput as error:
        return _refused(gate, result, agent, str(error)) or settle(gate, panel, vote, among, rest)
    chosen = [one for one in among if one.label in decision.chosen]
    if len(chosen) == 1 or decision.is_new:
        return _conclude(gate, panel, vote, chosen, by=decision.by, decision=decision, result=result)
    _write_decision(gate, vote, decision.by, decision.chosen, decision)
    gate.write_unchecked(refused=[result.id])  # what leaves a tie is no value of the team
    return settle(gate, panel, vote, chosen, rest)


def _refused(gate: GateContext, result: Result, agent: Agent, reason: str) -> Destination | None:
    """Refuse an answer that cannot be used; return what makes the agent try again, if it may."""
    gate.write_unchecked(refused=[result.id])
    gap = gap_of(result, reason=reason)
    known = {member.name: member for member in agent.fallback_chain}
    again = retry_request(gate, result, known, reason=reason, on_trip=None, gaps=(gap,))
    if again is None or gate.stop_reason() is not None:
        gate.write_unchecked(gaps=[gap])
        return None
    return retry(gate, [again])


def _conclude(
    gate: GateContext,
    panel: Sequence[Agent],
    vote: PanelVote,
    chosen: Sequence[Candidate],
    *,
    by: str,
    decision: JudgeDecision | None = None,
    result: Result | None = None,
) -> Destination:
    """End the run with a value, its confidence and the dissent; see `confidence_of`."""
    backing = {one.id for candidate in chosen for one in candidate.supporters}
    supporters = [one for one in vote.answers if one.id in backing]
    totals = [decision.totals[one.label] for one in chosen] if decision is not None and decision.totals else []
    strength = sum(totals) / len(totals) if totals else len(supporters) / len(vote.answers)
    is_new = decision is not None and decision.is_new and result is not None
    first = result if is_new and result is not None else (*supporters, *vote.answers)[0]
    draft = first.model_copy(
        update={
            "value": decision.value if is_new and decision is not None else chosen[0].value,
            "confidence": confidence_of(strength, supporters, answered=len(vote.answers), panel_size=len(panel)),
            "evidence": tuple(dict.fromkeys(evidence for one in supporters for evidence in one.evidence)),
            "dissent": vote.dissent(supporters),
            "trusted": all(one.trusted for one in (*vote.answers, *([] if result is None else [result]))),
        }
    )
    _write_decision(gate, vote, by, [one.label for one in chosen], decision)
    return gate.conclude(draft)


def _write_decision(
    gate: GateContext, vote: PanelVote, by: str, chosen: Iterable[str], decision: JudgeDecision | None
) -> None:
    """Record how it was decided; a tie-breaker leaves the scores of the judge before it."""
    earlier: dict[str, Any] = gate.state.get("decision") or {}
    record: dict[str, Any] = {
        "by": by,
        "chosen": list(chosen),
        "candidates": {one.label: one.value for one in vote.candidates},
        "support": {one.label: len(one.supporters) for one in vote.candidates},
        "scores": dict(decision.totals) if decision is not None and decision.totals else earlier.get("scores", {}),
    }
    gate.write(decision=record)
