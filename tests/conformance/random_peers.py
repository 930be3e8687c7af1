"""Random agents that talk to each other: what they send and emit, and what must have become of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from guardgraph.guards import Authority, Guard, Limits
from guardgraph.nodes.decisions.conversation import TEAM, is_not_sent, sent_in
from guardgraph.state import TASK_EVENT, Event, Message, Reply, Request, Result, deliveries_of, events_of

__all__ = (
    "Work",
    "emitting",
    "lost_events",
    "lost_messages",
    "random_limits",
    "random_message",
    "random_types",
    "talking",
)

Work = Callable[[Request], Any]
_BEGIN = ("inform", "ask", "propose", "hand_off")
_ANSWER = ("inform", "accept", "reject", "counter")
_TYPES = ("begun", "done", "seen")


def talking(work: Work, name: str, names: Sequence[str], salt: float) -> Work:
    """Return an agent's work that sends messages to others, some of which are refused."""

    def run(request: Request) -> Any:
        random = Random(f"{salt} {name} {request.round} {request.attempt}")
        value = work(request)
        messages = [_message(random, name, names, request) for _ in range(3) if random.random() < 0.3]
        return Reply(value=value, messages=tuple(messages), memory=random.choice([None, {"round": request.round}]))

    return run


def _message(random: Random, name: str, names: Sequence[str], request: Request) -> Message:
    others = [*(other for other in names if other != name), *(["nobody"] if random.random() < 0.1 else [])]
    message = random_message(random, others, request)
    return message.model_copy(update={"commits": random.choice([{}, {}, {"usd": Decimal(5)}])})


def random_message(random: Random, others: Sequence[str], request: Request) -> Message:
    """Return a message to one of the others, or to all; it may answer one of those that the request delivers."""
    answered = random.choice(request.messages) if request.messages and random.random() < 0.6 else None
    kind: Any = random.choice(_BEGIN if answered is None else _ANSWER)
    everyone = kind != "hand_off" and random.random() < 0.2
    return Message(
        recipients=("*",) if everyone else (random.choice(others),),
        content=random.choice([1, 2, request.round]),
        performative=kind,
        in_reply_to=answered.id if answered is not None else None,
    )


def random_limits(random: Random) -> list[Callable[[], Guard]]:
    """Return makers of the guards that count messages and what they commit to."""
    most = random.choice([0, 3, 30])
    return [lambda: Limits(messages=most, visits=100), lambda: Authority({"*": {"usd": 3}})]


def emitting(work: Work, name: str, types: Sequence[str], salt: float) -> Work:
    """Return an agent's work that emits events of these types, fewer with each that has led to them."""

    def run(request: Request) -> Any:
        event = request.event
        value = work(request)
        cause = TASK_EVENT
        if event is not None and event.type != TASK_EVENT:
            cause = f"{event.source} {event.type} {event.depth} {event.data}"
        random = Random(f"{salt} {name} {cause} {request.attempt}")
        chance = 0.8 / (1 + (0 if event is None else event.depth))
        events = [Event(type=one, data=str(value)) for one in types for _ in range(2) if random.random() < chance]
        return Reply(value=value, events=tuple(events))

    return run


def lost_messages(state: Mapping[str, Any]) -> list[str]:
    """Return the messages of accepted results of a swarm that are neither in its log nor a gap."""
    log, outcome = state.get("log"), state["outcome"]
    if log is None or "agreement" not in state or state.get("ending") is not None:  # an auction has a log, too
        return []
    ids = {message.id for message in log}
    returned = {one.id.removesuffix("/unsent") for one in log if is_not_sent(one)}  # with what the sender can answer
    missing = {gap.subtask for gap in outcome.gaps} | {gap.agent for gap in outcome.gaps}
    accepted = _accepted(state)
    silent = {result.agent for result in state["results"]} - {result.agent for result in accepted} | missing
    twice = ["twice: a message is in the log again"] if len(ids) < len(log) else []
    sent = [message for result in accepted for message in sent_in(result)]
    lost = [one for one in sent if one.id not in ids | returned | missing and not silent.issuperset(one.recipients)]
    known = {result.id for result in accepted}  # an answer of one who was asked is named after its result, too
    strangers = [one.id for one in log if one.sender != TEAM and one.id.rpartition("/")[0] not in known]
    return [
        *twice,
        *(f"lost: the message {one.id} to {one.recipients}" for one in lost),
        *(f"untrue: the log has {one}, which no accepted result has sent" for one in strangers),
    ]


def lost_events(state: Mapping[str, Any], subscribers: Mapping[str, frozenset[str]]) -> list[str]:
    """Return the events of a reactive team that were not delivered to all who subscribe, and are no gap."""
    if state.get("event_log") is None:
        return []
    events, found = events_of(state), {(one.event, one.subscriber): one for one in deliveries_of(state)}
    gaps = state["outcome"].gaps
    owners, reasons = {gap.owner for gap in gaps}, " ".join(f"{gap.subtask} {gap.reason}" for gap in gaps)
    is_named = "more were" not in reasons  # the first gaps name their deliveries, the last one counts the others
    lost: list[str] = []
    for number, event in enumerate(events):
        for name, types in subscribers.items():
            delivery, gap = found.get((event.ref, name)), f"{number}:{event.type}:{name}"
            is_due = event.type in types and event.source != name
            if is_due and gap not in owners and is_named and (delivery is None or delivery.status == "parked"):
                lost.append(f"lost: {event.ref} at {name} ({delivery})")
            if not is_due and delivery is not None:
                lost.append(f"untrue: {event.ref} went to {name}")
    refs = {None, *(event.ref for event in events)}
    lost.extend(f"untrue: the cause of {event.ref} is unknown" for event in events if event.caused_by not in refs)
    emitted = [f"{result.id}.{number}" for result in _accepted(state) for number in range(1, len(result.events) + 1)]
    made = {f"{event.source}/{event.id}" for event in events}
    lost.extend(f"lost: the event {one}" for one in emitted if one not in made and one not in reasons)
    return lost


def _accepted(state: Mapping[str, Any]) -> list[Result]:
    accepted = {*(state.get("accepted") or ())}
    return [result for result in state.get("results") or () if result.id in accepted]


def random_types(random: Random) -> list[str]:
    """Return some types of events."""
    return random.sample(_TYPES, random.randint(1, 2))
