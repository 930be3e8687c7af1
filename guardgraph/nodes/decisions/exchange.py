"""The exchange of messages between peers: take in what was sent, deliver it, and end a conversation that is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from langgraph.types import Overwrite
from pydantic import Field, JsonValue, create_model

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.conversation import (
    TEAM,
    OpenAsk,
    circle_of,
    implied_replies,
    no_answer,
    open_asks,
    repeated_handoffs,
    repeated_message,
    sent_in,
)
from guardgraph.nodes.decisions.negotiation import AcceptanceRule, Proposal, agreed, proposals_of
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import (
    Amount,
    ContextItem,
    EarlyStop,
    FrozenModel,
    Gap,
    Message,
    Result,
    RunState,
    Usage,
    Verdict,
    append_by_id,
    append_unique,
)

__all__ = ("SwarmRules", "SwarmState", "TieBreak", "begin", "exchange", "tie_break_of", "use_tie_break")

_ALONE = "You decide now: the others wait for each other. Answer with what you have; do not ask, and do not hand over."

_EXPECTING = ("ask", "propose", "counter", "hand_off")
"""What expects an answer."""


class SwarmState(RunState, total=False):
    """The shared state of a swarm. What a peer keeps for itself is in `memories`, and is given to no other peer."""

    log: Annotated[list[Message], append_by_id]
    """All messages that were sent, in their order."""
    pending: dict[str, list[str]]
    """The ids of the messages that each peer is given when it works next."""
    exchanged: Annotated[list[str], append_unique]
    """The ids of the results whose messages are in the log."""
    memories: dict[str, JsonValue]
    """What each peer has kept."""
    control: str
    """The peer whose answer is the value: the last one that was handed over to."""
    order: list[str]
    """The peers that are still to work, one after the other, where an order was imposed."""
    agreement: dict[str, Any] | None
    """The proposal that was accepted, as JSON data: `by` (`acceptance` or `tie_breaker`), `proposal`, its `content`,
    its `proposer`, who `accepted` and who `rejected` it."""
    tie: str | None
    """Why a tie had to be broken, if so."""


@dataclass(frozen=True, slots=True)
class SwarmRules:
    """The declaration of a swarm, checked."""

    peers: tuple[Agent, ...]
    start: tuple[Agent, ...]
    acceptance: AcceptanceRule | None
    tie_breaker: Agent | None
    order: tuple[str, ...]
    proposals: int
    per_pair: int | None
    per_peer: int | None
    window: int
    distinct: int
    repeats: int
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(agent.name for agent in self.peers))


class TieBreak(FrozenModel):
    """The answer of a tie-breaker: exactly one of the three."""

    order: tuple[str, ...] = Field(default=(), description="peers, by name, that are to answer one after the other")
    proposal: str | None = Field(default=None, description="the title of the proposal that is to hold")
    answer: JsonValue = Field(default=None, description="a provisional answer of your own")


def tie_break_of(peers: Sequence[str]) -> Any:
    """Return the schema of a tie-breaker's answer, which names peers only."""
    names: Any = tuple[Literal[tuple(peers)], ...]
    return create_model("TieBreak", __base__=TieBreak, order=(names, ()))


def begin(gate: GateContext, *, rules: SwarmRules) -> Destination:
    """Send the task to the peers that begin."""
    gate.write(
        log=Overwrite([]), exchanged=Overwrite([]), pending={}, memories={}, control=rules.start[0].name, order=[],
        agreement=None, tie=None,
    )  # fmt: skip
    return [_send(gate, agent, ()) for agent in rules.start]


def exchange(gate: GateContext, *, rules: SwarmRules) -> Destination:
    """Take in the messages of new results, and deliver them; once there are none, end the run."""
    new = _take_in(gate, rules)
    log: list[Message] = gate.state["log"]
    found = _agreed(gate, rules)
    if found is not None:
        return _conclude_with(gate, found, by="acceptance")
    if gate.state["tie"] is None:
        names = repeated_handoffs(log, window=rules.window, distinct=rules.distinct)
        if names:
            reason = f"the last {rules.window} handoffs went round {', '.join(names)}"
            return _break_tie(gate, rules, "Oscillation", reason)
        again = repeated_message(log, new, times=rules.repeats)
        if again is not None:
            reason = f"{again.sender!r} has sent the same message {rules.repeats} times ({again.performative})"
            return _break_tie(gate, rules, "Oscillation", reason)
    return _deliver(gate, rules) or _at_rest(gate, rules)


def use_tie_break(gate: GateContext, *, rules: SwarmRules) -> Destination:
    """Do what the tie-breaker has answered; without a usable answer the run ends with a provisional one."""
    result = gate.reviewed[-1] if gate.reviewed else None
    if result is None or result not in gate.accepted:
        return _provisional(gate, rules)
    answer = TieBreak.model_validate(result.value)
    proposals = proposals_of(gate.state["log"])
    chosen = next((one for one in proposals if one.message.id == answer.proposal), None)
    if chosen is not None:
        return _conclude_with(gate, chosen, by="tie_breaker")
    if answer.order:
        return _impose(gate, rules, answer.order)
    if answer.answer is None:
        return _provisional(gate, rules)
    return _provisional(gate, rules, result.model_copy(update={"value": answer.answer}))


# Taking in


def _take_in(gate: GateContext, rules: SwarmRules) -> set[str]:
    """Write the messages and memories of new results to the state; return the ids of the new messages."""
    known = set(gate.state["exchanged"])
    results = [one for one in _of_peers(gate, rules) if one.id not in known]
    asks, log, count = open_asks(gate.state["log"]), list[Message](), _Counts(gate, rules)
    memories = {_role(one): one.memory for one in results if one.memory is not None}
    for result in results:
        sent = sent_in(result)
        sent += implied_replies(result, sent, [ask for ask in asks if ask.recipient == _role(result)])
        sent += _passed_on(result, sent, gate.state["order"])
        for message in sent:
            log.extend(count.let_pass(message))
    for ask in open_asks([*gate.state["log"], *log]) if count.silent else ():
        if ask.recipient in count.silent and ask.message.sender not in count.silent:
            log.append(count.reply_for(ask))
    gate.write(
        log=log,
        exchanged=[one.id for one in results],
        memories={**gate.state["memories"], **memories},
        pending=count.pending,
        control=count.control,
    )
    gate.write_unchecked(gaps=count.gaps)
    return {message.id for message in log}


def _passed_on(result: Result, sent: Sequence[Message], order: Sequence[str]) -> list[Message]:
    """Return what carries a value to those who work next in an imposed order, and are not sent it already."""
    names = tuple(name for name in order if all(name not in message.recipients for message in sent))
    if result.value is None or not names:
        return []
    return [Message(recipients=names, content=result.value, sender=_role(result), id=f"{result.id}/order")]


class _Counts:
    """What may still be sent, and where it goes."""

    def __init__(self, gate: GateContext, rules: SwarmRules) -> None:
        self.gate, self.rules = gate, rules
        self.pending: dict[str, list[str]] = {name: [*ids] for name, ids in gate.state["pending"].items()}
        self.control: str = gate.state["control"]
        self.gaps: list[Gap] = []
        self.silent = _silent(gate, rules)
        self.order: list[str] | None = gate.state["order"] if gate.state["tie"] is not None else None
        log: list[Message] = gate.state["log"]
        self.pairs = Counter((message.sender, name) for message in log for name in message.recipients)
        self.sent = Counter(message.sender for message in log for _ in message.recipients)
        self.proposals = sum(message.performative in ("propose", "counter") for message in log)

    def let_pass(self, message: Message) -> Iterable[Message]:
        """Yield what of a message is sent, and what its sender is sent in place of an answer."""
        silent = [name for name in message.recipients if name in self.silent]
        names = [name for name in message.recipients if name not in self.silent]
        names, refusal = self._within_limits(message, names)
        if refusal is not None:
            gap = Gap(subtask=message.id, agent=message.sender, reason=refusal, guard="Limits", round=self.gate.round)
            self.gaps.append(gap)
        if names:
            sent = message.model_copy(update={"recipients": tuple(names)})
            self._post(sent)
            yield sent
        for name in silent if message.performative in _EXPECTING else ():
            yield self.reply_for(OpenAsk(message, name))

    def reply_for(self, ask: OpenAsk) -> Message:
        """Return the message that no answer will come, which is delivered next."""
        message = no_answer(ask)
        self.pending.setdefault(ask.message.sender, []).append(message.id)
        return message

    def _within_limits(self, message: Message, names: list[str]) -> tuple[list[str], str | None]:
        """Return the recipients that a message may go to, and why it does not go to all."""
        rules, sender = self.rules, message.sender
        if message.performative in ("propose", "counter"):
            if self.proposals >= rules.proposals:
                return [], f"the negotiation has its {rules.proposals} proposals"
            self.proposals += 1
        allowed, refusal = list[str](), None
        for name in names:
            if rules.per_pair is not None and self.pairs[sender, name] + self.pairs[name, sender] >= rules.per_pair:
                refusal = f"{sender!r} and {name!r} have exchanged the {rules.per_pair} messages that they may"
            elif rules.per_peer is not None and self.sent[sender] + len(allowed) >= rules.per_peer:
                refusal = f"{sender!r} has sent the {rules.per_peer} messages that it may"
            else:
                allowed.append(name)
        denied = _reserve(self.gate, message, len(allowed)) if allowed else None
        return ([], denied) if denied is not None else (allowed, refusal)

    def _post(self, message: Message) -> None:
        """Put a message where its recipients find it; where an order was imposed, only those who are still to work."""
        for name in message.recipients:
            self.pairs[message.sender, name] += 1
            self.sent[message.sender] += 1
            if self.order is None or name in self.order:
                self.pending.setdefault(name, []).append(message.id)
        if message.performative == "hand_off" and self.order is None:
            self.control = message.recipients[0]


def _reserve(gate: GateContext, message: Message, count: int) -> str | None:
    """Count messages in all accounts above, once; return why a limit does not allow them."""
    if gate.unspent.messages is None:
        return None
    ledger, account = gate.services.ledger, gate.position.spending_account
    entry = f"{account}>{message.id}"
    denied = ledger.reserve(entry, account, gate.services.epoch_of(account), Amount(messages=count))
    if denied is None:
        ledger.settle(entry, Usage())
    return None if denied is None else str(denied)


# Delivering


def _deliver(gate: GateContext, rules: SwarmRules) -> Destination | None:
    """Return the sends that deliver all that is pending, batched for each recipient; `None` where nothing is."""
    pending: dict[str, list[str]] = gate.state["pending"]
    order: list[str] = gate.state["order"]
    turn = order[:1] if gate.state["tie"] is not None else [one.name for one in rules.peers if pending.get(one.name)]
    if not turn:
        return None
    stop = gate.next_round()
    if stop is not None:
        count = sum(map(len, pending.values()))
        reason = f"{count} messages were not delivered: {stop.reason}"
        gate.write_unchecked(gaps=[Gap(subtask="run", reason=reason, guard=stop.stopped_by, round=gate.round)])
        gate.stop_for(stop)
        return _conclude(gate, rules)
    by_id = {message.id: message for message in gate.state["log"]}
    agents = {agent.name: agent for agent in rules.peers}
    sends = [_send(gate, agents[name], [by_id[id_] for id_ in pending.get(name, ())]) for name in turn]
    gate.write(pending={name: ids for name, ids in pending.items() if name not in turn}, order=order[1:])
    allowed = gate.allowed(sends)
    if gate.state.get("ending") is not None:
        return gate.end(gate.state["ending"])
    return allowed or _deliver(gate, rules)


def _send(gate: GateContext, agent: Agent, messages: Sequence[Message]) -> Any:
    """Return what makes a peer work: on the task, its messages and what it has kept, and nothing of the others."""
    memory = gate.state["memories"].get(agent.name)
    alone = gate.state["tie"] is not None
    notes = [Message(recipients=(agent.name,), content=_ALONE, sender=TEAM, id="alone")] if alone else []
    return gate.send(agent, context=gate.state.get("context") or (), messages=[*messages, *notes], memory=memory)


def _at_rest(gate: GateContext, rules: SwarmRules) -> Destination:
    """Return where a run goes in which nothing is left to deliver."""
    log: list[Message] = gate.state["log"]
    answered = {_role(one) for one in _latest(gate, rules).values() if _is_answer(one)}
    asks = [ask for ask in open_asks(log) if ask.message.sender not in answered]
    if gate.state["tie"] is None:
        circle = circle_of(asks)
        if circle:
            waits = " -> ".join((*circle, circle[0]))
            return _break_tie(gate, rules, "Deadlock", f"each waits for an answer of the next: {waits}")
        if asks:
            count = _Counts(gate, rules)
            messages = [count.reply_for(ask) for ask in asks if ask.message.sender not in count.silent]
            gate.write(log=messages, pending=count.pending)
            return _deliver(gate, rules) or _conclude(gate, rules)
        if rules.acceptance is not None:
            return _break_tie(gate, rules, "Acceptance", f"no proposal was accepted ({_named(rules.acceptance)})")
        return _conclude(gate, rules)
    return _conclude(gate, rules) if rules.acceptance is None else _provisional(gate, rules)


# Ending


def _agreed(gate: GateContext, rules: SwarmRules) -> Proposal | None:
    if rules.acceptance is None:
        return None
    voters = {agent.name for agent in rules.peers} - _silent(gate, rules)
    return agreed(proposals_of(gate.state["log"]), rules.acceptance, voters)


def _break_tie(gate: GateContext, rules: SwarmRules, by: str, reason: str) -> Destination:
    """Let the tie-breaker decide, impose the declared order, or end the run with a provisional answer."""
    verdict = Verdict(guard=by, gate="handoff", subject=gate.node, action="trip", reason=reason)
    gate.emit(verdict)
    gate.write_unchecked(verdicts=[verdict])
    gate.write(tie=f"{by}: {reason}", pending={})
    if rules.tie_breaker is not None:
        stop = gate.next_round()
        sends = (
            gate.allowed([gate.send(rules.tie_breaker, context=_candidates(gate, rules, reason))])
            if stop is None
            else []
        )
        if sends:
            return sends
    elif rules.order:
        return _impose(gate, rules, rules.order)
    return _provisional(gate, rules)


def _impose(gate: GateContext, rules: SwarmRules, order: Sequence[str]) -> Destination:
    """Let peers work one after the other; the answer of the last one is the value."""
    able = [name for name in dict.fromkeys(order) if name not in _silent(gate, rules)]
    if not able:
        return _provisional(gate, rules)
    gate.write(order=able, control=able[-1])
    return _deliver(gate, rules) or _provisional(gate, rules)


def _candidates(gate: GateContext, rules: SwarmRules, reason: str) -> list[ContextItem]:
    """Return what a tie-breaker decides about: the open proposals, else the latest answers."""
    given: Sequence[ContextItem] = gate.state.get("context") or ()
    proposals = proposals_of(gate.state["log"])
    found = [
        ContextItem(kind="result", title=one.message.id, sender=one.message.sender, value=one.message.content)
        for one in proposals
    ]
    if not proposals:
        latest = {_role(one): one for one in _of_peers(gate, rules) if _is_answer(one)}
        found = [ContextItem(kind="result", title=name, sender=name, value=one.value) for name, one in latest.items()]
    return [*given, ContextItem(kind="background", title="why you decide", value=reason, sender=TEAM), *found]


def _conclude_with(gate: GateContext, proposal: Proposal, *, by: str) -> Destination:
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
        return gate.conclude()
    source = next(one for one in gate.accepted if message.id.startswith(f"{one.id}/"))
    changes = {"value": message.content, "evidence": message.evidence or source.evidence}
    return gate.conclude(source.model_copy(update=changes))


def _conclude(gate: GateContext, rules: SwarmRules) -> Destination:
    """End the run with the answer of the peer that has control, or else the latest one."""
    answers = [one for one in _of_peers(gate, rules) if _is_answer(one)]
    mine = [one for one in answers if _role(one) == gate.state["control"]]
    if not answers:
        gate.write_unchecked(refused=[one.id for one in gate.accepted])
        return gate.conclude() if gate.state.get("ending") else gate.stop("failed", reason="no peer has answered")
    if gate.team.author is not None:
        return gate.conclude()
    return gate.conclude((mine or answers)[-1])


def _provisional(gate: GateContext, rules: SwarmRules, answer: Result | None = None) -> Destination:
    """End the run with the best there is, marked as provisional."""
    by, _, reason = str(gate.state["tie"]).partition(": ")
    gate.end(EarlyStop(status="degraded", stopped_by=by, reason=reason))
    proposals = proposals_of(gate.state["log"])
    answers = [one for one in _of_peers(gate, rules) if _is_answer(one)]
    if answer is None and proposals:
        best = max(proposals, key=lambda one: len(one.accepted))
        source = next(one for one in gate.accepted if best.message.id.startswith(f"{one.id}/"))
        answer = source.model_copy(update={"value": best.message.content})
    answer = answer or (answers[-1] if answers else None)
    if answer is None:
        gate.write_unchecked(refused=[one.id for one in gate.accepted])  # what is no answer is no value of the team
    if answer is None or gate.team.author is not None:
        return gate.conclude()
    return gate.conclude(answer.model_copy(update={"status": "provisional"}))


# Facts


def _silent(gate: GateContext, rules: SwarmRules) -> set[str]:
    """Return the peers whose latest attempt was refused, with nothing left to try: they are routed around."""
    accepted = {result.id for result in gate.accepted}
    return {name for name, result in _latest(gate, rules).items() if result.id not in accepted}


def _latest(gate: GateContext, rules: SwarmRules) -> dict[str, Result]:
    return {_role(one): one for one in gate.state.get("results") or () if _role(one) in rules.names}


def _of_peers(gate: GateContext, rules: SwarmRules) -> list[Result]:
    return [result for result in gate.accepted if _role(result) in rules.names]


def _role(result: Result) -> str:
    return result.fallback_for or result.agent


def _is_answer(result: Result) -> bool:
    return result.value is not None and all(message.performative != "hand_off" for message in result.messages)


def _named(rule: AcceptanceRule) -> str:
    return rule if isinstance(rule, str) else ", ".join(rule)
