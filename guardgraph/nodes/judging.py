"""How a gate applies the guards of its team to a subject, and to what it is about to send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.guards import (
    Breaker,
    Circuit,
    Depth,
    Escalate,
    Guard,
    GuardContext,
    GuardDecision,
    alert_of,
    applying,
    breaker_of,
    caps_accounts,
    leaves,
    name_of,
    reviewing,
)
from guardgraph.nodes.accepted import subtasks_by_id
from guardgraph.nodes.chain import agent_link
from guardgraph.nodes.evaluating import alerts_once, decision_of, open_reviews
from guardgraph.nodes.opinions import OpenReview
from guardgraph.nodes.scope import agent_info, attempts_of, cost_key
from guardgraph.runtime.breakers.circuits import attempt_key
from guardgraph.state import (
    Allowance,
    Amount,
    Balance,
    Gap,
    Gate,
    Request,
    ReservationDenied,
    Result,
    Subtask,
    Usage,
    Verdict,
    attempt_sides,
)

if TYPE_CHECKING:
    from guardgraph.nodes.gate_context import GateContext

__all__ = ("allowed_sends", "emit_last_alerts", "judge_subject", "needed_reviews", "plan_subtasks")

_PASS = GuardDecision(None, None)
_TOO_MANY = 10**15
"""More subtasks than any limit allows: the ledger grants so many only for an entry that it has already."""


def judge_subject(
    gate: GateContext, at: Gate, subject: Any, guards: Sequence[Guard], *, agent: Agent | None = None, **facts: Any
) -> GuardDecision:
    """Judge one subject by the guards of `at`; emit trips and alerts as events, and return the decision.

    `facts` are fields of the `GuardContext` that differ from those of the gate; `sides`, the balances of the side
    accounts of the agent and the subtask; and `levels_below`, how many levels below its team the subject is.
    """
    names = frozenset[str]() if agent is None else gate.team.names_of(agent)
    applies = applying(guards, agents=names, categories=gate.categories)
    judging = [guard for guard in applies if at in guard.gates]
    if not judging:
        return _PASS
    decision = decision_of(judging, _context(gate, at, subject, agent=agent, **facts), gate)
    for verdict in (*decision.passes, *decision.verdicts):
        gate.emit(verdict)
    return decision


def needed_reviews(gate: GateContext, at: Gate, result: Result, *, agent: Agent | None) -> list[OpenReview]:
    """Return the opinions that the guards of `at` need of a result, and that are not there."""
    names = frozenset[str]() if agent is None else gate.team.names_of(agent)
    applies = applying(gate.guards_for(agent), agents=names, categories=gate.categories)
    judging = [guard for guard in applies if at in guard.gates]
    if not reviewing(judging):
        return []
    return open_reviews(judging, _context(gate, at, result, agent=agent), gate)


def emit_last_alerts(gate: GateContext) -> None:
    """Emit and write the alerts of what was spent since the last gate that judges by the budget."""
    own = ([one for one in leaves([guard]) if caps_accounts(one)] for guard in gate.guards)
    limiters = [parts[0] for parts in own if parts]  # those of an `AnyOf` count in the same account
    if not limiters:
        return
    work = {(result.agent, result.subtask) for result in attempts_of(gate.state)} if gate.position.budgets else set()
    sides = {one.account: one for agent, subtask in sorted(work, key=str) for one in _sides_of(gate, agent, subtask)}
    context = _context(gate, "exit", gate.task, sides=tuple(sides.values()))
    alerts = [verdict for guard in limiters for verdict in alerts_once(guard, context, alert_of(guard, context), gate)]
    for verdict in alerts:
        gate.emit(verdict)
    if alerts:
        gate.write_unchecked(verdicts=alerts)


def _context(
    gate: GateContext,
    at: Gate,
    subject: Any,
    *,
    agent: Agent | None = None,
    remaining: Allowance | None = None,
    levels_below: int = 0,
    sides: tuple[Balance, ...] = (),
    **facts: Any,
) -> GuardContext:
    above = gate.links
    if at == "admission" and above:
        above, facts = above[:-1], {**facts, "delegation": above[-1]}
    return GuardContext(
        gate=at,
        subject=subject,
        now=gate.now,
        state=gate.state,
        allowance=gate.allowance,
        remaining=gate.unspent if remaining is None else remaining,
        spent=gate.spent,
        depth=gate.position.depth + levels_below,
        account=gate.position.account,
        balances=(*sides, *gate.balances),
        path=gate.position.path,
        agent=agent and agent_info(agent, gate.position.path, fallback_for=gate.team.fallbacks.get(agent.name)),
        chain=above,
        **facts,
    )


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
        if other is None and not ends:
            other = _to_fallback(gate, sends[number], decision)
        if other is None:
            return decision if alerts == decision.alerts else decision._replace(alerts=alerts)
        sends[number] = other


def plan_subtasks(gate: GateContext, sends: Iterable[Send]) -> None:
    """Write the subtasks that are to be sent to the state: each becomes a result or a gap, whatever happens next."""
    planned = subtasks_by_id(gate.state)
    wanted = [_request(send).subtask for send in sends if send.node in gate.team.workers]
    unknown = {subtask.id: subtask for subtask in wanted if subtask is not None and subtask.id not in planned}
    if unknown:
        gate.write_unchecked(subtasks=list(unknown.values()))


def _judge_send(gate: GateContext, send: Send) -> GuardDecision:
    """Judge by the guards of `dispatch` what a worker or a reviewer would be sent, and deduct what then remains."""
    if send.node not in gate.team.workers | gate.team.reviewers or id(send) in gate.judged:
        return _PASS
    agent, request = gate.team.agents[send.node], _request(send)
    new = _new_subtask(gate, request)
    remaining = Allowance() if gate.needs_no_budget else gate.remaining
    if new is None:  # it was counted when it was sent for the first time, or is no subtask
        remaining = remaining.model_copy(update={"subtasks": None})
    elif remaining.subtasks == 0:
        remaining = remaining.model_copy(update={"subtasks": _reserved_before(gate, new)})
    subtask = request.subtask.id if request.subtask else None
    sides = _sides_of(gate, agent.name, subtask) if gate.position.budgets else ()
    for balance in () if gate.needs_no_budget else sides:
        remaining = remaining.narrow(balance.cap.minus(balance.spent + gate.side_costs.get(balance.account, Amount())))
    expected = agent.expected_amount or gate.services.costs.expected(cost_key(gate.position, agent.name))
    circuit = _circuit(gate, agent, request)
    decision = judge_subject(
        gate,
        "dispatch",
        request.subtask or request.task,
        [*gate.guards_for(agent), *_inherited_depth(gate)],
        agent=agent,
        remaining=remaining,
        expected_cost=expected,
        levels_below=1,
        request=request,
        delegation=agent_link(agent, request, gate.position),
        circuit=circuit,
        sides=sides,
    )
    if decision.trip is None:
        gate.judged[id(send)] = (send, new)
        gate.remaining = _after(gate.remaining, expected, subtasks=int(new is not None))
        for balance in sides:
            gate.side_costs[balance.account] = gate.side_costs.get(balance.account, Amount()) + (expected or Amount())
    else:
        gate.last_trip = decision.trip
        if circuit is not None and circuit.is_probe:
            gate.services.circuits.released(
                circuit.agent, attempt_key(gate.position.spending_account, agent.name, request)
            )
    return decision


def _circuit(gate: GateContext, agent: Agent, request: Request) -> Circuit | None:
    """Return the circuit of an agent that is about to be sent a request, where a guard judges by it."""
    if _breaker(gate, agent) is None:
        return None
    known = gate.closed_circuits.get(agent.name)
    if known is not None:
        return known
    key = attempt_key(gate.position.spending_account, agent.name, request)
    found = gate.services.circuits.before_sending(cost_key(gate.position, agent.name), key)
    if found.state == "closed":
        gate.closed_circuits[agent.name] = found
    return found


def _breaker(gate: GateContext, agent: Agent) -> Breaker | None:
    guards, names = gate.guards_for(agent), gate.team.names_of(agent)
    return breaker_of(applying(guards, agents=names, categories=gate.categories))


def _to_fallback(gate: GateContext, send: Send, decision: GuardDecision) -> Send | None:
    """Return what is sent to the fallback of an agent whose circuit is not closed."""
    agent = gate.team.agents[send.node]
    breaker = _breaker(gate, agent)
    if breaker is None or agent.fallback is None or decision.trip is None or decision.trip.guard != name_of(breaker):
        return None
    return gate.send_request(agent.fallback, _request(send).model_copy(update={"tries": 1, "delay": 0.0}))


def _sides_of(gate: GateContext, agent: str, subtask: str | None) -> tuple[Balance, ...]:
    """Return the balances of the side accounts that an attempt draws on."""
    replaced = gate.team.fallbacks.get(agent)
    sides = attempt_sides(
        gate.position.budgets, team=gate.position.account, agent=agent, subtask=subtask, fallback_for=replaced
    )
    unread = [side for side in sides if side.name not in gate.side_balances]
    if unread:
        gate.side_balances |= {one.account: one for one in gate.services.ledger.side_balances(unread)}
    return tuple(gate.side_balances[side.name] for side in sides)


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
    if subtask is None or request.review is not None:  # the subtask of an answer that is reviewed is not new
        return None
    return subtask if request.attempt == 1 or subtask.id not in subtasks_by_id(gate.state) else None


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
    usd = Decimal(0) if cost.usd is None else cost.usd
    return remaining.minus(Amount(tokens=cost.tokens, usd=usd, calls=cost.calls, subtasks=subtasks))
