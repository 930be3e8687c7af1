"""What agents have sent to each other: who waits for which answer, and where a conversation goes in circles. Pure.

A log is a list of `Message`s in the order in which they were sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import NamedTuple

from guardgraph.agents.outgoing import message_id
from guardgraph.state import Message, Result

__all__ = (
    "TEAM",
    "OpenAsk",
    "circle_of",
    "implied_replies",
    "is_not_sent",
    "no_answer",
    "not_sent",
    "open_asks",
    "repeated_handoffs",
    "repeated_message",
    "returned_handoff",
    "sent_in",
)

TEAM = "team"
"""The sender of what peers are sent by their team; no peer has this name."""
_NO_ANSWER = "no_answer_from"
_UNSENT = "/unsent"
"""The end of the id of what a peer is sent where a message of it was not sent."""


class OpenAsk(NamedTuple):
    """An `ask` that one of its recipients has not answered."""

    message: Message
    recipient: str


def sent_in(result: Result) -> list[Message]:
    """Return the messages of a result, with ids that are unique in the run."""
    return [
        message.model_copy(update={"id": message_id(result.id, number), "trusted": result.trusted})
        for number, message in enumerate(result.messages, 1)
    ]


def open_asks(log: Iterable[Message]) -> list[OpenAsk]:
    """Return what was asked and not answered, oldest first.

    An answer is a later message of the recipient to the one who asked that is no `ask` itself, and names the ask in
    `in_reply_to`, or names nothing; or the message of the team that none will come.
    """
    asks: dict[str, dict[str, OpenAsk]] = {}  # by the id of the ask, then by its recipient
    waiting: dict[tuple[str, str], set[str]] = {}  # the ids of what a recipient was asked by a sender
    for message in log:
        if message.performative == "ask":
            asks[message.id] = {name: OpenAsk(message, name) for name in message.recipients}
            for name in message.recipients:
                waiting.setdefault((name, message.sender), set()).add(message.id)
            continue
        if message.sender == TEAM:
            asks.get(message.in_reply_to or "", {}).pop(_unanswered_by(message), None)
            continue
        for name in message.recipients:
            mine = waiting.get((message.sender, name), set())
            for id_ in [*mine] if message.in_reply_to is None else {message.in_reply_to} & mine:
                mine.discard(id_)
                asks.get(id_, {}).pop(message.sender, None)
    return [ask for open_ in asks.values() for ask in open_.values()]


def no_answer(ask: OpenAsk) -> Message:
    """Return the message of the team to the one who asked that no answer will come."""
    message = ask.message
    return Message(
        recipients=(message.sender,),
        content={_NO_ANSWER: ask.recipient, "note": "go on without it"},
        in_reply_to=message.id,
        sender=TEAM,
        id=f"{message.id}/none/{ask.recipient}",
        trusted=True,
    )


def not_sent(message: Message, proposals: Sequence[str]) -> Message:
    """Return the message of the team to one whose answer names no proposal: it was not sent; what it can answer."""
    return Message(
        recipients=(message.sender,),
        content={
            "not_sent": message.performative,
            "in_reply_to": message.in_reply_to,
            "open_proposals": [*proposals],
            "note": "it answers no proposal that you were sent; name one of these as `in_reply_to`",
        },
        in_reply_to=message.id,
        sender=TEAM,
        id=f"{message.id}{_UNSENT}",
    )


def is_not_sent(message: Message) -> bool:
    """Return whether a message is one that `not_sent` returns."""
    return message.sender == TEAM and message.id.endswith(_UNSENT)


def _unanswered_by(message: Message) -> str:
    return str(message.content.get(_NO_ANSWER)) if isinstance(message.content, dict) else ""


def implied_replies(result: Result, sent: Sequence[Message], asks: Sequence[OpenAsk]) -> list[Message]:
    """Return what carries the value of a result to those whose `asks` its messages, `sent`, do not answer."""
    if result.value is None or not asks:
        return []
    unanswered = {(one.message.id, one.recipient) for one in open_asks([*(ask.message for ask in asks), *sent])}
    return [
        Message(
            recipients=(ask.message.sender,),
            content=result.value,
            in_reply_to=ask.message.id,
            evidence=result.evidence,
            confidence=result.confidence,
            reasoning=result.reasoning,
            sender=ask.recipient,
            id=f"{result.id}/r{number}",
            trusted=result.trusted,
        )
        for number, ask in enumerate(asks, 1)
        if (ask.message.id, ask.recipient) in unanswered
    ]


def circle_of(asks: Iterable[OpenAsk]) -> list[str]:
    """Return agents of which each waits for an answer of the next one, and the last one for the first; or nothing.

    It is the first one in the order of the names (depth-first search of the wait-for graph).
    """
    waits: dict[str, set[str]] = {}
    for ask in asks:
        waits.setdefault(ask.message.sender, set()).add(ask.recipient)
    done = set[str]()
    for start in sorted(waits):
        trail, stack = list[str](), [(start, iter(sorted(waits[start])))]
        if start in done:
            continue
        trail.append(start)
        while stack:
            name, others = stack[-1]
            following = next(others, None)
            if following is None:
                done.add(name)
                stack.pop()
                trail.pop()
            elif following in trail:
                return trail[trail.index(following) :]
            elif following in waits and following not in done:
                trail.append(following)
                stack.append((following, iter(sorted(waits[following]))))
    return []


def repeated_handoffs(log: Iterable[Message], *, window: int, distinct: int) -> list[str]:
    """Return the agents of the last `window` handoffs, where these are fewer than `distinct`; else nothing."""
    last = [message for message in log if message.performative == "hand_off"][-window:]
    names = sorted({name for message in last for name in (message.sender, *message.recipients)})
    return names if len(last) == window and len(names) < distinct else []


def returned_handoff(log: Sequence[Message]) -> list[str]:
    """Return the agents through which the same work was handed over back to one that had handed it over; or nothing.

    The work is the content of the handoffs, which must be the same and not empty. Nothing else was sent between them:
    who has added something, or was answered a question, does not hand over the same work.
    """
    last = log[-1] if log else None
    if last is None or last.performative != "hand_off" or last.content is None:
        return []
    work, trail = json.dumps(last.content, sort_keys=True), [last.recipients[0]]
    for message in reversed(log):
        is_same = message.performative == "hand_off" and json.dumps(message.content, sort_keys=True) == work
        if not is_same or message.recipients[0] != trail[-1]:
            return []
        trail.append(message.sender)
        if message.sender == last.recipients[0]:
            return trail[::-1]
    return []


def repeated_message(log: Sequence[Message], new: Set[str], *, times: int) -> Message | None:
    """Return an ask or a proposal among the ids `new` that its sender has sent to the same agents `times` times."""
    wanted = [message for message in log if message.performative in ("ask", "propose", "counter")]
    if new.isdisjoint(message.id for message in wanted):
        return None
    counts = Counter(map(_identity, wanted))
    return next((message for message in wanted if message.id in new and counts[_identity(message)] >= times), None)


def _identity(message: Message) -> tuple[object, ...]:
    return message.sender, message.recipients, message.performative, json.dumps(message.content, sort_keys=True)
