"""How a gate applies the guards of its team to a subject, and to what it is about to send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.guards import (
    AnyOf,
    Depth,
    Escalate,
    Guard,
    GuardContext,
    GuardDecision,
    SourceReader,
    applying,
    evaluate_guards,
    name_of,
)
from guardgraph.nodes.accepted import subtasks_by_id
from guardgraph.nodes.chain import agent_link
from guardgraph.nodes.scope import cost_key
from guardgraph.state import (
    AgentInfo,
    Allowance,
    Amount,
    Delegation,
    Gap,
    Gate,
    Request,
    ReservationDenied,
    Result,
    Subtask,
    Usage,
    Verdict,
    claims_in,
    error_text,
    evidence_of,
)

if TYPE_CHECKING:
    from guardgraph.nodes.gate_context import GateContext

__all__ = ("allowed_sends", "judge_subject", "plan_subtasks")

_PASS = GuardDecision(None, None)
_TOO_MANY = 10**15
"""More subtasks than any limit allows: the ledger grants so many only for an entry that it has already."""


def judge_subject(
    gate: GateContext,
    at: Gate,
    subject: Any,
    guards: Sequence[Guard],
    *,
    agent: Agent | None = None,
    remaining: Allowance | None = None,
    expected: Amount | None = None,
    levels_below: int = 0,
    delegation: Delegation | None = None,
) -> GuardDecision:
    """Judge one subject by the guards of `at`; emit trips and alerts as events, and return the decision."""
    names = frozenset[str]() if agent is None else gate.team.names_of(agent)
    applies = applying(guards, agents=names, categories=gate.categories)
    judging = [guard for guard in applies if at in guard.gates]
    if not judging:
        return _PASS
    above, own = gate.position.chain, gate.position.chain[-1:]
    if at == "admission" and own:
        above, delegation = above[:-1], Delegation.of(own[0])
    context = GuardContext(
        gate=at,
        subject=subject,
        now=gate.now,
        state=gate.state,
        allowance=gate.allowance,
        remaining=gate.unspent if remaining is None else remaining,
        spent=gate.spent,
        expected_cost=expected,
        depth=gate.position.depth + levels_below,
        path=gate.position.path,
        chain=tuple(map(Delegation.of, above)),
        delegation=delegation,
        agent=agent and _info(gate, agent),
    )
    decision = _decision(judging, context)
    for verdict in decision.verdicts:
        gate.emit(verdict)
    return decision


def _info(gate: GateContext, agent: Agent) -> AgentInfo:
    replaced = gate.team.fallbacks.get(agent.name)
    path = (*gate.position.path, agent.name)
    return AgentInfo(agent.name, agent.version, frozenset(agent.skills), path, fallback_for=replaced)


def allowed_sends(
    gate: GateContext,
    sends: Iterable[Send],
    *,
    gaps: Sequence[Sequence[Gap]] | None = None,
    instead: Callable[[Send, Verdict], Send | None] | None = None,
) -> list[Send]:
    """Return which of `sends` the guards of `dispatch` let pass; see `GateContext.allowed`.

    `gaps` are what is missing without each of them; by default its subtask, or the work of its agent. `instead`
    returns what is judged in place of one that a guard has stopped; the state keeps the verdict only of the last one.
    """
    passed, missing, verdicts, sends = list[Send](), list[Gap](), list[Verdict](), list(sends)
    for number in range(len(sends)):
        decision = _judge_first(gate, sends, number, instead)
        send, trip = sends[number], decision.trip
        verdicts.extend(decision.verdicts)
        if trip is None:
            passed.append(send)
            continue
        missing.extend(gaps[number] if gaps else [_gap(gate, send, trip)])
        if isinstance(decision.on_trip, Escalate):
            plan_subtasks(gate, sends)  # the outcome has a gap for each of them
            why = f"not sent, since the run was stopped: {trip.reason}"
            others = [other for other in sends if other.node in gate.team.workers and other is not send]
            whole = [other for other in others if _request(other).subtask is None]
            missing.extend(chain(*gaps) if gaps else [_gap(gate, other, trip, why) for other in whole])
            ending = decision.ending(otherwise="escalated")
            gate.write_unchecked(verdicts=verdicts, gaps=missing, ending=ending)
            return []
    if verdicts or missing:  # once for all: each write copies the list
        gate.write_unchecked(verdicts=verdicts, gaps=missing)
    return _reserved(gate, passed)  # only now: where a guard ends the run, no subtask is counted


def _judge_first(
    gate: GateContext, sends: list[Send], number: int, instead: Callable[[Send, Verdict], Send | None] | None
) -> GuardDecision:
    """Judge one of `sends`, and put in its place what is sent instead, until one passes or there is no other one."""
    alerts: tuple[Verdict, ...] = ()
    while True:
        decision = _judge_send(gate, sends[number])
        alerts += decision.alerts
        ends = decision.trip is None or isinstance(decision.on_trip, Escalate)
        other = None if ends or instead is None or decision.trip is None else instead(sends[number], decision.trip)
        if other is None:
            return decision._replace(alerts=alerts)
        sends[number] = other


def plan_subtasks(gate: GateContext, sends: Iterable[Send]) -> None:
    """Write the subtasks that are to be sent to the state: each becomes a result or a gap, whatever happens next."""
    planned = subtasks_by_id(gate.state)
    wanted = [_request(send).subtask for send in sends if send.node in gate.team.workers]
    unknown = {subtask.id: subtask for subtask in wanted if subtask is not None and subtask.id not in planned}
    if unknown:
        gate.write_unchecked(subtasks=list(unknown.values()))


def _judge_send(gate: GateContext, send: Send) -> GuardDecision:
    """Judge by the guards of `dispatch` what a worker would be sent, and deduct what passes from what remains."""
    if send.node not in gate.team.workers or id(send) in gate.judged:
        return _PASS
    agent, request = gate.team.agents[send.node], _request(send)
    new = _new_subtask(gate, request)
    remaining = Allowance() if gate.needs_no_budget else gate.remaining
    if new is None:  # it was counted when it was sent for the first time, or is no subtask
        remaining = remaining.model_copy(update={"subtasks": None})
    elif remaining.subtasks == 0:
        remaining = remaining.model_copy(update={"subtasks": _reserved_before(gate, new)})
    expected = agent.expected_amount or gate.services.costs.expected(cost_key(gate.position, agent.name))
    decision = judge_subject(
        gate,
        "dispatch",
        request.subtask or request.task,
        [*gate.guards_for(agent), *_inherited_depth(gate)],
        agent=agent,
        remaining=remaining,
        expected=expected,
        levels_below=1,
        delegation=agent_link(agent, request, gate.position),
    )
    if decision.trip is None:
        gate.judged[id(send)] = (send, new)
        gate.remaining = _after(gate.remaining, expected, subtasks=int(new is not None))
    else:
        gate.last_trip = decision.trip
    return decision


def _inherited_depth(gate: GateContext) -> list[Guard]:
    """Return a guard for the depth limit of an outer team, where this team has no such guard itself."""
    limit = gate.allowance.depth
    return [] if limit is None or any(isinstance(g, Depth) for g in gate.guards) else [Depth(limit)]


def _request(send: Send) -> Request:
    given = send.arg["request"]
    return given if isinstance(given, Request) else Request.model_validate(given)


def _new_subtask(gate: GateContext, request: Request) -> Subtask | None:
    """Return the subtask of a request if it is sent for the first time."""
    subtask = request.subtask
    is_new = subtask is not None and (request.attempt == 1 or subtask.id not in subtasks_by_id(gate.state))
    return subtask if is_new else None


def _gap(gate: GateContext, send: Send, trip: Verdict, reason: str | None = None) -> Gap:
    subtask = _request(send).subtask
    return Gap(
        subtask=send.node if subtask is None else subtask.id,
        agent=send.node,
        reason=reason or trip.reason,
        guard=trip.guard,
        round=gate.round if subtask is None else 1,
    )


def _reserved(gate: GateContext, sends: Sequence[Send]) -> list[Send]:
    """Count new subtasks in all accounts above; return what may be sent, and write a gap for what a limit denies."""
    plan_subtasks(gate, sends)
    allowed = list[Send]()
    for send in sends:
        _, subtask = gate.judged.get(id(send), (send, None))
        denied = _reserve(gate, subtask, 1) if subtask is not None and gate.unspent.subtasks is not None else None
        if denied is None:
            allowed.append(send)
        else:
            trip = Verdict(guard="Limits", gate="dispatch", subject=send.node, action="trip", reason=str(denied))
            gate.last_trip = trip
            gate.write_unchecked(gaps=[_gap(gate, send, trip)])
    return allowed


def _reserved_before(gate: GateContext, new: Subtask) -> int:
    """Return how many of the subtasks that this gate sends were counted by an execution of it that has crashed."""
    subtasks = [new, *(subtask for _, subtask in gate.judged.values() if subtask is not None)]
    return sum(_reserve(gate, subtask, _TOO_MANY) is None for subtask in subtasks)


def _reserve(gate: GateContext, subtask: Subtask, count: int) -> ReservationDenied | None:
    """Count a subtask unless it is counted already; return why a limit does not allow it."""
    ledger, account = gate.services.ledger, gate.position.spending_account
    entry = f"{account}>{subtask.id}"
    denied = ledger.reserve(entry, account, gate.services.epoch_of(account), Amount(subtasks=count))
    if denied is None:
        ledger.settle(entry, Usage())
    return denied


def _after(remaining: Allowance, expected: Amount | None, *, subtasks: int) -> Allowance:
    """Return what remains once one more send has passed."""
    cost = expected or Amount()
    usage = Usage(input_tokens=cost.tokens, usd=cost.usd if cost.usd is not None else 0, calls=cost.calls)  # type: ignore[arg-type]
    rest = remaining.minus(usage)
    return rest if rest.subtasks is None else rest.model_copy(update={"subtasks": max(rest.subtasks - subtasks, 0)})


def _decision(guards: Sequence[Guard], context: GuardContext) -> GuardDecision:
    """Evaluate the guards in order, each with the sources that it reads itself; the first trip ends it."""
    alerts: tuple[Verdict, ...] = ()
    for guard in guards:
        decision = _evaluate(guard, context)
        alerts += decision.alerts
        if decision.trip is not None:
            return decision._replace(alerts=alerts)
    return GuardDecision(None, None, alerts)


def _evaluate(guard: Guard, context: GuardContext) -> GuardDecision:
    if isinstance(guard, AnyOf):
        return GuardDecision.of(guard, guard.decide(context, lambda part: _verdict(part, context)))
    if not isinstance(context.subject, Result) or not isinstance(guard, SourceReader):
        return evaluate_guards([guard], context)
    try:
        sources = _sources(guard, context.subject)
    except (Exception, SystemExit) as error:  # a source that cannot be read must not let the subject pass
        reason = f"guard {name_of(guard)!r} could not read its sources: {error_text(error)}"
        return GuardDecision(context.verdict(guard, trips=True, reason=reason), guard.on_trip)
    return evaluate_guards([guard], replace(context, sources=sources))


def _verdict(part: Guard, context: GuardContext) -> Verdict:
    """Return the verdict of one part of a guard, with the sources that it reads itself."""
    return next(iter(_evaluate(part, context).verdicts), context.verdict(part, trips=False))


def _sources(reader: SourceReader, result: Result) -> Mapping[str, str]:
    """Return the texts of the sources that a result names, as its guard reads them."""
    found: dict[str, str] = {}
    for evidence in (*result.evidence, *chain.from_iterable(map(evidence_of, claims_in(result.value)))):
        text = None if evidence.source in found else reader.read(evidence)
        if text is not None:
            found[evidence.source] = text
    return found
