"""How a gate asks the guards of its team: of a subject, and of what it is about to send."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.guards import (
    Depth,
    Escalate,
    Guard,
    GuardContext,
    GuardDecision,
    SourceReader,
    evaluate_guards,
    name_of,
)
from guardgraph.nodes.context import subtasks_by_id
from guardgraph.nodes.scope import cost_key
from guardgraph.state import (
    AgentInfo,
    Allowance,
    Amount,
    EarlyStop,
    Gap,
    Gate,
    Request,
    Result,
    Subtask,
    Usage,
    Verdict,
    error_text,
)

if TYPE_CHECKING:
    from guardgraph.nodes.gate_context import GateContext

__all__ = ("allowed_sends", "judge_send", "judge_subject", "plan_subtasks")

_TOO_MANY = 10**15
"""More subtasks than any limit allows."""


def judge_subject(
    gate: GateContext,
    at: Gate,
    subject: Any,
    guards: Sequence[Guard],
    *,
    agent: Agent | None = None,
    left: Allowance | None = None,
    expects: Amount | None = None,
    deeper: int = 0,
) -> GuardDecision:
    """Judge one subject by the guards of `at`, tell the listener of trips and alerts, and return what they say."""
    placed = [guard for guard in guards if at in guard.gates]
    if not placed:
        return GuardDecision(None, None)
    position = gate.position
    view = GuardContext(
        gate=at,
        subject=subject,
        now=gate.now,
        state=gate.state,
        allowance=gate.allowance,
        remaining=gate.unspent if left is None else left,
        spent=gate.spent,
        expected_cost=expects,
        depth=position.depth + deeper,
        path=position.path,
        agent=None if agent is None else _info(agent, position.path),
    )
    judgement = _judged(placed, view)
    for verdict in judgement.verdicts:
        gate.tell(verdict)
    return judgement


def allowed_sends(gate: GateContext, sends: Iterable[Send]) -> list[Send]:
    """Return which of `sends` the guards of `dispatch` let pass; see `GateContext.allow`."""
    passed, gaps, sends = list[Send](), list[Gap](), list(sends)
    for send in sends:
        judgement = judge_send(gate, send)
        trip = None if judgement is None else judgement.trip
        if judgement is None or trip is None:
            passed.append(send)
            continue
        gaps.append(_gap(gate, send, trip))
        if isinstance(judgement.on_trip, Escalate):
            plan_subtasks(gate, sends)  # those become gaps by themselves
            why = f"not sent, since the run was stopped: {trip.reason}"
            unsent = [_gap(gate, other, trip, why) for other in sends if _is_whole(gate, other) and other is not send]
            ending = EarlyStop(status="escalated", stopped_by=trip.guard, reason=trip.reason)
            gate.note(gaps=[*gaps, *unsent], ending=ending)
            return []
    if gaps:
        gate.note(gaps=gaps)
    return _booked(gate, passed)  # only now: a guard that ends the run sends nobody


def plan_subtasks(gate: GateContext, sends: Iterable[Send]) -> None:
    """Note the subtasks that are to be sent: what is planned becomes a result or a gap, whatever happens next."""
    planned = subtasks_by_id(gate.state)
    wanted = [_request(send).subtask for send in sends if send.node in gate.team.workers]
    unknown = {subtask.id: subtask for subtask in wanted if subtask is not None and subtask.id not in planned}
    if unknown:
        gate.note(subtasks=list(unknown.values()))


def judge_send(gate: GateContext, send: Send) -> GuardDecision | None:
    """Judge by the guards of `dispatch` what a worker would be sent; `None` for what needs no judging.

    What passes is taken off what remains of the allowance.
    """
    if send.node not in gate.team.workers or gate.is_judged(send):
        return None
    agent, request = gate.team.agents[send.node], _request(send)
    is_new = _is_new(gate, request)
    left = Allowance() if gate.is_free else gate.remaining
    if not is_new:  # it was counted when it was sent for the first time, or is no subtask
        left = left.model_copy(update={"subtasks": None})
    elif left.subtasks == 0:
        left = left.model_copy(update={"subtasks": _booked_before(gate, send)})
    expects = agent.expected_amount or gate.services.costs.expected(cost_key(gate.position, agent.name))
    judgement = judge_subject(
        gate,
        "dispatch",
        request.subtask or request.task,
        [*gate.team.guards, *_inherited(gate)],
        agent=agent,
        left=left,
        expects=expects,
        deeper=1,
    )
    if judgement.verdicts:
        gate.note(verdicts=[*judgement.verdicts])
    gate.last_trip = judgement.trip or gate.last_trip
    if judgement.trip is None:
        rest = gate.remaining.model_copy(update={"subtasks": left.subtasks}) if is_new else gate.remaining
        gate.mark_judged(send, _after(rest, expects, subtasks=int(is_new)))
    return judgement


def _inherited(gate: GateContext) -> list[Guard]:
    """Return a guard for the depth that stands above a team which has no such guard itself."""
    limit = gate.allowance.depth
    return [] if limit is None or any(isinstance(g, Depth) for g in gate.team.guards) else [Depth(limit)]


def _request(send: Send) -> Request:
    given = send.arg["request"]
    return given if isinstance(given, Request) else Request.model_validate(given)


def _is_new(gate: GateContext, request: Request) -> bool:
    """Whether a subtask is sent for the first time."""
    subtask = request.subtask
    return subtask is not None and (request.attempt == 1 or subtask.id not in subtasks_by_id(gate.state))


def _is_whole(gate: GateContext, send: Send) -> bool:
    """Whether a worker is sent the task as a whole."""
    return send.node in gate.team.workers and _request(send).subtask is None


def _gap(gate: GateContext, send: Send, trip: Verdict, reason: str | None = None) -> Gap:
    subtask = _request(send).subtask
    return Gap(
        subtask=send.node if subtask is None else subtask.id,
        agent=send.node,
        reason=reason or trip.reason,
        guard=trip.guard,
        round=gate.round if subtask is None else 1,
    )


def _booked(gate: GateContext, sends: Sequence[Send]) -> list[Send]:
    """Book the subtasks that are sent for the first time in the whole tree's books; what cannot be booked is a gap."""
    new = [send for send in sends if send.node in gate.team.workers and _is_new(gate, _request(send))]
    if not new:
        return list(sends)
    plan_subtasks(gate, new)
    refused, gaps = set[int](), list[Gap]()
    for send in new:
        subtask = _request(send).subtask
        refusal = None if subtask is None else _booking(gate, subtask)
        if subtask is not None and refusal is not None:
            refused.add(id(send))
            gaps.append(Gap(subtask=subtask.id, agent=send.node, reason=refusal, guard="Limits"))
    if gaps:
        gate.note(gaps=gaps)
    return [send for send in sends if id(send) not in refused]


def _booking(gate: GateContext, subtask: Subtask) -> str | None:
    if gate.unspent.subtasks is None:
        return None
    services, account = gate.services, gate.position.spending_account
    entry = f"{account}>{subtask.id}"
    refusal = services.ledger.reserve(entry, account, services.epoch_of(account), Amount(subtasks=1))
    if refusal is not None:
        return str(refusal)
    services.ledger.settle(entry, Usage())
    return None


def _booked_before(gate: GateContext, send: Send) -> int:
    """Return how many of the subtasks that this gate sends were booked by an execution of it that has died."""
    subtasks = [_request(one).subtask for one in (*gate.judged, send)]
    services, account = gate.services, gate.position.spending_account
    epoch, more = services.epoch_of(account), Amount(subtasks=_TOO_MANY)  # denied, unless the entry is there already
    entries = {f"{account}>{subtask.id}" for subtask in subtasks if subtask is not None}
    return sum(services.ledger.reserve(entry, account, epoch, more) is None for entry in entries)


def _after(left: Allowance, expects: Amount | None, *, subtasks: int) -> Allowance:
    """Return what is left once this one is let through."""
    part = expects or Amount()
    usage = Usage(input_tokens=part.tokens, usd=part.usd if part.usd is not None else 0, calls=part.calls)  # type: ignore[arg-type]
    rest = left.minus(usage)
    return rest if rest.subtasks is None else rest.model_copy(update={"subtasks": max(rest.subtasks - subtasks, 0)})


def _info(agent: Agent, path: tuple[str, ...]) -> AgentInfo:
    return AgentInfo(agent.name, agent.version, frozenset(agent.skills), (*path, agent.name))


def _judged(guards: Sequence[Guard], view: GuardContext) -> GuardDecision:
    """Ask the guards one after the other, each with the sources that it reads itself; the first trip ends it."""
    alerts: list[Verdict] = []
    for guard in guards:
        if isinstance(view.subject, Result) and isinstance(guard, SourceReader):
            try:
                said = evaluate_guards([guard], replace(view, sources=_sources(guard, view.subject)))
            except (Exception, SystemExit) as error:  # what cannot be read must not let pass
                reason = f"guard {name_of(guard)!r} could not read its sources: {error_text(error)}"
                said = GuardDecision(view.verdict(guard, trips=True, reason=reason), guard.on_trip)
        else:
            said = evaluate_guards([guard], view)
        alerts.extend(said.alerts)
        if said.trip is not None:
            return GuardDecision(said.trip, said.on_trip, tuple(alerts))
    return GuardDecision(None, None, tuple(alerts))


def _sources(reader: SourceReader, result: Result) -> Mapping[str, str]:
    """Read, for a guard that judges by them, the sources that a result names."""
    found: dict[str, str] = {}
    for evidence in result.evidence:
        text = None if evidence.source in found else reader.read(evidence)
        if text is not None:
            found[evidence.source] = text
    return found
