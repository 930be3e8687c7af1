"""Messages in and out: the task and its background from a conversation, and the message that tells an outcome."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from guardgraph.state import BadInput, ContextItem, DelegationScope, Outcome, Task, merge_messages

__all__ = ("Asked", "asked_in", "final_update")

_NO_GOAL = "no task: pass {'task': …}, or messages of which at least one is from a human"
_MEDIA = frozenset({"image", "audio", "video", "file", "text-plain", "non_standard"})
"""Content that no agent of a team is given."""
_UNNAMEABLE = re.compile(r"[\s<|\\/>]+")
"""What providers refuse in the name of a message's sender."""


class Asked(NamedTuple):
    """What a run is asked."""

    task: Any
    """The task as it was given, or the goal."""
    background: list[ContextItem]
    """What else was said."""
    seen: list[str]
    """The ids of all messages, by which the next run of the thread tells what is new."""


def asked_in(state: Mapping[str, Any]) -> Asked:
    """Return what a team is asked by its state.

    The task is the one that is given, or else the last message of a human; all other messages are background, also
    those of earlier runs. Where a run is given a task alone, what was said before on its thread does not belong to it.

    Raises:
        BadInput: there is neither a task nor a message of a human, or the last of these says nothing; or nothing was
            said since the last answer.
    """
    messages, seen = merge_messages(None, state.get("messages")), set(state.get("seen") or ())
    new = [message for message in messages if message.id not in seen]
    task, asking = state.get("task"), _last_human(new)
    if messages and (task is None or (isinstance(task, str) and not task.strip())):
        asking = asking or _unanswered(messages, new)
        task = _goal_of(asking)
    pieces = [piece for message in messages for piece in _pieces(message, task, asking)] if new or asking else []
    return Asked(task, pieces, [message.id for message in messages if message.id])


def _unanswered(messages: Sequence[BaseMessage], new: Sequence[BaseMessage]) -> BaseMessage:
    """Return the last message of a human, which is not new: it is asked again where nothing answers it any more."""
    last = _last_human(messages)
    if last is not None and not any(isinstance(one, AIMessage) for one in messages[messages.index(last) :]):
        return last
    if last is None or new:
        senders = [_sender(message) for message in new or messages]
        raise BadInput(f"{_NO_GOAL}; the {len(senders)} given are from {_listed(senders)}")
    raise BadInput("nothing was said since the last answer; add a message of a human, or remove the answer")


def _goal_of(asking: BaseMessage) -> str:
    """Return the text of a message; what of it is no text is named where nothing else was said."""
    goal = _goal_in(asking)
    if not goal:
        raise BadInput("the last message of a human is empty; say in it what is to be done")
    return goal


def _outcome_message(outcome: Outcome, position: DelegationScope) -> AIMessage:
    """Return the message that tells an outcome; the same run tells it under the same id.

    Its text is the value, or a sentence where there is none. All but the value stands in
    `response_metadata["outcome"]`, as JSON data.
    """
    facts = outcome.model_dump(mode="json", exclude={"value"}, exclude_defaults=True)
    return AIMessage(
        _text_of(outcome),
        id=f"outcome-{position.account}",
        name=_UNNAMEABLE.sub("_", _team(position)),
        response_metadata={"outcome": facts},
    )


def final_update(state: Mapping[str, Any], outcome: Outcome, position: DelegationScope) -> dict[str, Any]:
    """Return what a team writes at its end: the outcome, also as a message; its context was for this run alone."""
    message = _outcome_message(outcome, position)
    return {
        "outcome": outcome,
        "messages": [message],
        "seen": [*(state.get("seen") or ()), str(message.id)],
        "context": [],
    }


def _goal(task: object) -> object:
    if isinstance(task, Task):
        return task.goal
    return task.get("goal") if isinstance(task, Mapping) else task


def _pieces(message: BaseMessage, task: object, asking: BaseMessage | None) -> list[ContextItem]:
    """Return a message as context; nothing of one that is empty, as one that only calls tools.

    Of the one that asks, only what it holds beside its text.
    """
    text, media = _content(message)
    asks = message is asking and _goal(task) == _goal_in(message)
    said = [] if asks else [text]
    if media and (text or not asks):
        said.append(f"(not passed on: {media})")
    value = "\n".join(filter(None, said))
    return [ContextItem(kind="background", title="message", sender=_sender(message), value=value)] if value else []


def _last_human(messages: Sequence[BaseMessage]) -> BaseMessage | None:
    return next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)


def _goal_in(message: BaseMessage) -> str:
    text, media = _content(message)
    return text or (f"(a message without text: {media})" if media else "")


def _sender(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage):
        return message.name or "user"
    if isinstance(message, AIMessage):
        return message.name or "assistant"
    if isinstance(message, ToolMessage):
        return message.name or "tool"
    return message.name or str(getattr(message, "role", message.type))


def _content(message: BaseMessage) -> tuple[str, str]:
    """Return the text of a message, and the names of what else a human could see in it, such as `2 images`."""
    if isinstance(message.content, str):
        return message.content if message.content.strip() else "", ""
    texts, media = list[str](), Counter[str]()
    for block in message.content_blocks:
        kind, fields = block["type"], dict[str, Any](block)
        if kind in ("text", "text-plain") and fields.get("text"):
            texts.append(str(fields["text"]))
        elif kind in _MEDIA:
            media[_kind(fields)] += 1
    text = ("" if isinstance(message, AIMessage) else "\n").join(texts)  # a model's blocks are parts of one text
    return text if text.strip() else "", ", ".join(f"{kind} ({n})" for kind, n in media.items())


def _kind(block: Mapping[str, Any]) -> str:
    inner = block.get("value")
    named = inner.get("type") if isinstance(inner, Mapping) else None
    return str(named or block["type"])


def _text_of(outcome: Outcome) -> str:
    may_tell = outcome.status in ("completed", "degraded")
    if may_tell and outcome.value is not None:
        return outcome.value if isinstance(outcome.value, str) else _json(outcome.value)
    head, _, *rest = str(outcome).splitlines()  # the second says that there is no value, or one that does not count
    facts = f": {'; '.join(rest)}" if rest else ""
    return f"There is {'nothing to tell' if may_tell else 'no answer'} ({head}){facts}."


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _team(position: DelegationScope) -> str:
    """Return the name of a team; a nested one is called as its account is."""
    if position.account == position.run_id:
        return position.path[0] if position.path else "team"
    return unquote(position.account.rpartition("/")[2].rpartition("-")[0])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or "nobody"
