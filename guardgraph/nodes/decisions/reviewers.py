"""Send reviewers what they are to judge, before a gate decides about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.nodes.accepted import subtasks_by_id
from guardgraph.nodes.decisions.review import agents_by_name, retry_request, unreviewed_results
from guardgraph.nodes.early_stop import no_means, too_few_steps
from guardgraph.nodes.gate_context import GateContext
from guardgraph.nodes.judging import allowed_sends, needed_reviews
from guardgraph.nodes.opinions import OpenReview, attempts_at, opinion_in
from guardgraph.state import Allowance, EarlyStop, Gate, Request, Result, Verdict

__all__ = ("ask_reviewers", "ask_reviewers_of_new_results")

_STEPS = 2
"""Supersteps of a review: the reviewer, and the gate again."""


def ask_reviewers_of_new_results(gate: GateContext, agents: Sequence[Agent]) -> list[Send]:
    """Return what makes reviewers judge the new results of `agents`; see `ask_reviewers`."""
    if not gate.team.reviewers:
        return []
    known = agents_by_name(agents)
    return ask_reviewers(gate, [one for one in unreviewed_results(gate.state) if one.agent in known], at="handoff")


def ask_reviewers(gate: GateContext, results: Iterable[Result], *, at: Gate) -> list[Send]:
    """Return what makes reviewers give the opinions that the guards of `at` need of `results`; none once all are there.

    All are asked for at once. A reviewer that has failed tries again as its `attempts` and `fallback` allow. Why no
    opinion will come is in `gate.unreviewed`: it has failed, time, budget or steps are short, or a guard of `dispatch`
    stops it.
    """
    if not gate.team.reviewers:
        return []
    needed = {
        one.request.id: (one, result)
        for result in results
        if result.has_value
        for one in needed_reviews(gate, at, result, agent=gate.team.agents.get(result.agent))
    }
    sends = [send for one, result in needed.values() if (send := _send(gate, one, result, at)) is not None]
    done = [one.id for one in gate.state.get("reviews") or () if gate.request_of(one) is not None]
    if done:
        gate.write_unchecked(requests=dict.fromkeys(done))
    return _allowed(gate, sends, at)


def _send(gate: GateContext, needed: OpenReview, result: Result, at: Gate) -> Send | None:
    """Return the next attempt at an opinion; `None` where there is none."""
    reviewer, tried = gate.team.agents[needed.reviewer], attempts_at(gate.state, needed.request)
    if tried:
        return _again(gate, reviewer, tried[-1], needed, at)
    subtask = subtasks_by_id(gate.state).get(result.subtask or "")
    sent = gate.send(reviewer, subtask, context=needed.context)
    request: Request = sent.arg["request"].model_copy(update={"review": needed.request})
    return _if_possible(gate, reviewer, request, at)


def _again(gate: GateContext, reviewer: Agent, last: Result, needed: OpenReview, at: Gate) -> Send | None:
    """Return the attempt that follows one which gave no opinion, if the reviewer or its fallback may try."""
    found = opinion_in(last)
    reason = found if isinstance(found, str) else ""
    gate.unreviewed[needed.request.id] = reason
    failed = last.model_copy(update={"status": "failed"}) if last.has_value else last
    again = retry_request(gate, failed, agents_by_name([reviewer]), reason=reason, on_trip=None)
    return None if again is None else _if_possible(gate, again.agent, again.request, at)


def _if_possible(gate: GateContext, reviewer: Agent, request: Request, at: Gate) -> Send | None:
    stop = _stop(gate, reviewer, at)
    if stop is None:
        return gate.send_to_reviewer(reviewer, request)
    if request.review is not None:
        gate.unreviewed[request.review.id] = stop.reason
    return None


def _stop(gate: GateContext, reviewer: Agent, at: Gate) -> EarlyStop | None:
    """Return what keeps a reviewer from working; at the exit it may use what is kept for concluding."""
    if at == "exit":
        return too_few_steps(gate.state, _STEPS)
    left = Allowance() if reviewer.kind == "function" else gate.unspent
    stop = no_means(left, is_late=gate.is_late, balances=gate.balances)
    return stop or too_few_steps(gate.state, _STEPS + gate.team.closing)


def _allowed(gate: GateContext, sends: Sequence[Send], at: Gate) -> list[Send]:
    """Return which of `sends` the guards of `dispatch` let pass; what they stop is no gap, but its result may be."""
    before = gate.last_trip, gate.needs_no_budget
    agents = [gate.team.agents[send.node] for send in sends]
    gate.needs_no_budget = at == "exit" or all(agent.kind == "function" for agent in agents)

    def not_sent(send: Send, trip: Verdict) -> None:
        gate.unreviewed[_review_id(send)] = trip.reason

    allowed = allowed_sends(gate, sends, gaps=[()] * len(sends), instead=not_sent) if sends else []
    passed = {_review_id(send) for send in allowed}
    for send in sends:
        if _review_id(send) not in passed and gate.last_trip is not None:  # a guard that escalates stops them all
            gate.unreviewed.setdefault(_review_id(send), gate.last_trip.reason)
    gate.last_trip, gate.needs_no_budget = before
    return [gate.send_to_reviewer(gate.team.agents[send.node], send.arg["request"]) for send in allowed]


def _review_id(send: Send) -> str:
    request: Request = send.arg["request"]
    return "" if request.review is None else request.review.id
