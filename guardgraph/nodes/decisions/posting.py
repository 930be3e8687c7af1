"""What peers have sent is taken in: it is counted, logged, and put where its recipients find it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

from guardgraph.nodes.decisions.conversation import (
    TEAM,
    OpenAsk,
    implied_replies,
    is_not_sent,
    no_answer,
    not_sent,
    open_asks,
    sent_in,
)
from guardgraph.nodes.decisions.negotiation import ANSWERS, PROPOSALS, Proposal, proposals_of
from guardgraph.nodes.decisions.swarm_state import (
    SwarmRules,
    control_of,
    latest_results,
    peer_results,
    silent_peers,
    write_control,
)
from guardgraph.nodes.gate_context import GateContext
from guardgraph.state import Amount, Gap, Message, Result, Usage

__all__ = ("post_no_answers", "take_in")

_EXPECTING = ("ask", "propose", "counter", "hand_off")
"""What expects an answer."""
_COUNTED = ("accept", "reject")
"""What counts whether or not its recipient still works: the team itself reads it."""


def take_in(gate: GateContext, rules: SwarmRules) -> set[str]:
    """Write the messages and memories of new results to the state; return the ids of the new messages."""
    done, log = set(gate.state["exchanged"]), gate.state["log"]
    results = [one for one in peer_results(gate, rules) if one.id not in done]
    post, asks, known = _Post(gate, rules), open_asks(log), {message.id for message in log}
    for result in results:
        sent = [_with_known_reply(message, known) for message in sent_in(result)]
        mine = [one for one in asks if one.recipient == result.role and post.control.may_work(one.message.sender)]
        sent += implied_replies(result, sent, mine)
        sent += _passed_on(result, sent, post.control.order)
        for message in sent:
            post.send(message)
    post.answer_for_silent()
    memories = {one.role: one.memory for one in results if one.memory is not None}
    gate.write(exchanged=[one.id for one in results], memories={**gate.state["memories"], **memories})
    return post.write()


def post_no_answers(gate: GateContext, rules: SwarmRules, asks: Sequence[OpenAsk]) -> None:
    """Send to those who have asked that no answer comes any more."""
    post = _Post(gate, rules)
    for ask in asks:
        post.reply_for(ask)
    post.write()


def _with_known_reply(message: Message, known: Set[str]) -> Message:
    """Return a message that names what it answers only where that exists; an answer to a proposal is left as it is."""
    if message.in_reply_to in known or message.in_reply_to is None or message.performative in ANSWERS:
        return message
    return message.model_copy(update={"in_reply_to": None})


def _passed_on(result: Result, sent: Sequence[Message], order: Sequence[str]) -> list[Message]:
    """Return what carries a value to those who work next in an imposed order, and are not sent it already."""
    names = tuple(name for name in order if all(name not in message.recipients for message in sent))
    if result.value is None or not names:
        return []
    message = Message(
        recipients=names, content=result.value, sender=result.role, id=f"{result.id}/order",
        evidence=result.evidence, confidence=result.confidence, reasoning=result.reasoning,
    )  # fmt: skip
    return [message.model_copy(update={"trusted": result.trusted})]


class _Post:
    """What may still be sent, and where it goes; `write` puts it into the state."""

    def __init__(self, gate: GateContext, rules: SwarmRules) -> None:
        self.gate, self.rules = gate, rules
        self.control = control_of(gate)
        self.silent = silent_peers(gate, rules)
        self.able = rules.names - self.silent
        self.before: list[Message] = gate.state["log"]
        self.new: list[Message] = []
        self.gaps: list[Gap] = []
        self.pending: dict[str, list[str]] = {name: [*ids] for name, ids in gate.state["pending"].items()}
        self.pairs = Counter((message.sender, name) for message in self.before for name in message.recipients)
        self.sent = Counter(message.sender for message in self.before for _ in message.recipients)
        self.proposals: dict[str, Proposal] = {one.message.id: one for one in proposals_of(self.before)}

    def send(self, message: Message) -> None:
        """Send what may be sent of a message; what may not is a gap, or goes back to its sender."""
        if self.rules.acceptance is not None and message.performative in ANSWERS and not self._is_answer(message):
            self._return(message)
            return
        is_counted = message.performative in _COUNTED
        silent = [] if is_counted else [name for name in message.recipients if name not in self.able]
        for name in silent:
            if name not in self.rules.names:  # the graph has changed while the run waited
                self._miss(message, f"it was not delivered: {name!r} is no peer any more")
        names, refusal = self._within_limits(message, [name for name in message.recipients if name not in silent])
        if refusal is not None:
            self._miss(message, refusal, guard="Limits")
        if names:
            self._post(message.model_copy(update={"recipients": tuple(names)}))
        for name in silent if message.performative in _EXPECTING else ():
            self.reply_for(OpenAsk(message, name))

    def answer_for_silent(self) -> None:
        """Send to those who have asked a peer that has failed, or handed over to it, that no answer comes."""
        log = [*self.before, *self.new]
        for ask in [*open_asks(log), *self._failed_handoffs(log)] if self.silent else ():
            if ask.recipient in self.silent and ask.message.sender not in self.silent:
                self.reply_for(ask)

    def _failed_handoffs(self, log: Sequence[Message]) -> list[OpenAsk]:
        """Return the handoffs at which their peers have failed; who has handed over has control again."""
        known, latest = {message.id for message in log}, latest_results(self.gate, self.rules)
        rounds = {result.id: result.round for result in peer_results(self.gate, self.rules)}
        found = list[OpenAsk]()
        for message in (message for message in log if message.performative == "hand_off"):
            ask, failed = OpenAsk(message, message.recipients[0]), latest.get(message.recipients[0])
            is_last = failed is not None and failed.round == rounds.get(message.id.rpartition("/")[0], 0) + 1
            if is_last and ask.recipient in self.silent and no_answer(ask).id not in known:
                found.append(ask)
                if self.control.tie is None and self.control.peer == ask.recipient:
                    changes = {"peer": message.sender, "since": self.gate.round}
                    self.control = self.control.model_copy(update=changes)
        return found

    def reply_for(self, ask: OpenAsk) -> None:
        """Send to the one who has asked that no answer comes, if it still works."""
        if self.control.may_work(ask.message.sender):
            self._deliver(no_answer(ask))

    def write(self) -> set[str]:
        """Write to the state; return the ids of what is sent.

        All of it was sent at the same time, so nothing of it answers a question in it: these come last, before the
        messages of the team.
        """
        log = sorted(self.new, key=lambda message: (message.sender == TEAM, message.performative == "ask"))
        self.gate.write(log=log, pending=self.pending)
        write_control(self.gate, self.control)
        self.gate.write_unchecked(gaps=self.gaps)
        return {message.id for message in log}

    def _is_answer(self, message: Message) -> bool:
        """Return whether a message answers a proposal that its sender was sent, or has made."""
        proposal = self.proposals.get(message.in_reply_to or "")
        return proposal is not None and message.sender in (proposal.message.sender, *proposal.message.recipients)

    def _return(self, message: Message) -> None:
        """Send to the sender of an answer to no proposal what it can answer. In the end it is a gap."""
        sender = message.sender
        returned = sum(is_not_sent(one) and sender in one.recipients for one in (*self.before, *self.new))
        if returned < self.rules.repeats - 1 and self.control.may_work(sender):
            standing = [one.message for one in self.proposals.values() if one.is_open]
            self._deliver(not_sent(message, [one.id for one in standing if sender in one.recipients]))
        else:
            self._miss(message, f"it answers {message.in_reply_to!r}, which is no proposal that {sender!r} was sent")

    def _within_limits(self, message: Message, names: Sequence[str]) -> tuple[Sequence[str], str | None]:
        """Return the recipients that a message may go to, and why it does not go to all."""
        rules, sender = self.rules, message.sender
        if message.performative in PROPOSALS and self._proposed() >= rules.proposals:
            return [], f"the negotiation has its {rules.proposals} proposals"
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

    def _proposed(self) -> int:
        return len(self.proposals) + sum(message.performative in PROPOSALS for message in self.new)

    def _post(self, message: Message) -> None:
        """Log a message and deliver it next: where an order was imposed, to those only who are still to work."""
        self._deliver(message)
        for name in message.recipients:
            self.pairs[message.sender, name] += 1
            self.sent[message.sender] += 1
        late = [repr(name) for name in message.recipients if not self.control.may_work(name)]
        if late and message.performative not in _COUNTED:
            verb = "does" if len(late) == 1 else "do"
            self._miss(message, f"it was not delivered: {', '.join(late)} {verb} not work any more in the order")
        if message.performative == "hand_off" and self.control.tie is None:
            changes = {"peer": message.recipients[0], "since": self.gate.round}
            self.control = self.control.model_copy(update=changes)

    def _deliver(self, message: Message) -> None:
        self.new.append(message)
        for name in message.recipients:
            if name in self.able and self.control.may_work(name):
                self.pending.setdefault(name, []).append(message.id)

    def _miss(self, message: Message, reason: str, *, guard: str | None = None) -> None:
        gap = Gap(subtask=message.id, agent=message.sender, reason=reason, guard=guard, round=self.gate.round)
        self.gaps.append(gap)


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
