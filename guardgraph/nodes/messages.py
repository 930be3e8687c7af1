"""Messages in and out: the task and its background from a conversation, and the message of an outcome."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from guardgraph.state import (
    Attachment,
    BadInput,
    ContextItem,
    DelegationScope,
    Origin,
    Outcome,
    Task,
    is_attachment,
    merge_messages,
)

__all__ = ("RunInput", "final_update", "run_input")

_NO_GOAL = "no task: pass {'task': …}, or messages of which at least one is from a human"
_MEDIA = frozenset({"image", "audio", "video", "file", "text-plain", "non_standard"})
"""Content beside text; of the message that is the task, agents are given what can be attached to a task."""
_UNNAMEABLE = re.compile(r"[\s<|\\/>]+")
"""What providers refuse in the name of a message's sender."""
_ORIGINS: tuple[tuple[type[BaseMessage], Origin], ...] = (
    (HumanMessage, "user"),
    (AIMessage, "agent"),
    (ToolMessage, "tool"),
)
_SENDERS = ((HumanMessage, "user"), (AIMessage, "assistant"), (ToolMessage, "tool"))


class RunInput(NamedTuple):
    """The input of a run."""

    task: Any
    """The task as it was given, or the goal."""
    background: list[ContextItem]
    """All other messages."""
    seen: list[str]
    """The ids of all messages, by which the next run of the thread knows which are new."""


def run_input(state: Mapping[str, Any]) -> RunInput:
    """Return the input of a run from the state of a team.

    The task is the one that is given, or else the last message of a human; all other messages are background, also
    those of earlier runs. Where a run is given a task alone, earlier messages of its thread do not belong to it.

    Raises:
        BadInput: there is neither a task nor a message of a human, or the last of these is empty; or there is no new
            message since the last answer.
    """
    messages, seen = merge_messages(None, state.get("messages")), set(state.get("seen") or ())
    new = [message for message in messages if message.id not in seen]
    task, source = state.get("task"), _last_human(new)
    if messages and (task is None or (isinstance(task, str) and not task.strip())):
        source = source or _unanswered(messages, new)
        task, attachments = _goal_in(source), _attachments(source)
        if not task:
            raise BadInput("the last message of a human is empty; it has to contain what is to be done")
        if attachments:
            task = {"goal": task, "attachments": attachments}
    items = [_item(message, task, source) for message in messages] if new or source else []
    return RunInput(task, [item for item in items if item], [message.id for message in messages if message.id])


def final_update(state: Mapping[str, Any], outcome: Outcome, position: DelegationScope) -> dict[str, Any]:
    """Return the last update of a team: the outcome, also as a message; its context was for this run alone.

    The message of one run has always the same id. Its text is the value, or a sentence where there is none. All but the
    value is in `response_metadata["outcome"]`, as JSON data.
    """
    facts = outcome.model_dump(mode="json", exclude={"value"}, exclude_defaults=True)
    message = AIMessage(
        _outcome_text(outcome),
        id=f"outcome-{position.account}",
        name=_UNNAMEABLE.sub("_", _team_name(position)),
        response_metadata={"outcome": facts},
    )
    return {
        "outcome": outcome,
        "messages": [message],
        "seen": [*(state.get("seen") or ()), str(message.id)],
        "context": [],
        **({"attachments": {}} if state.get("attachments") else {}),
    }


def _unanswered(messages: Sequence[BaseMessage], new: Sequence[BaseMessage]) -> BaseMessage:
    """Return the last message of a human, which is not new: it is the goal again if no answer follows it any more."""
    last = _last_human(messages)
    if last is not None and not any(isinstance(one, AIMessage) for one in messages[messages.index(last) :]):
        return last
    if last is None or new:
        senders = [_sender(message) for message in new or messages]
        raise BadInput(f"{_NO_GOAL}; the {len(senders)} given are from {', '.join(dict.fromkeys(senders))}")
    raise BadInput("no message is newer than the last answer; add a message of a human, or remove the answer")


def _item(message: BaseMessage, task: Any, source: BaseMessage | None) -> ContextItem | None:
    """Return a message as context; `None` for an empty one, such as one that only calls tools.

    Of the `source` of the task, only what it holds beside its text.
    """
    given: dict[str, Any] = dict(task) if isinstance(task, Task | Mapping) else {"goal": task}
    is_task = message is source and given.get("goal") == _goal_in(message)
    text, media = _content(message, is_attached=is_task and bool(given.get("attachments")))
    shown = "" if is_task else text
    omitted = f"(not passed on: {media})" if media and (text or not is_task) else ""
    value = "\n".join(filter(None, (shown, omitted)))
    if not value:
        return None
    origin = next((found for kind, found in _ORIGINS if isinstance(message, kind)), "source")
    return ContextItem(
        kind="background",
        title="message",
        sender=_sender(message),
        value=value,
        origin=origin,
        trusted=origin == "user",
    )


def _last_human(messages: Sequence[BaseMessage]) -> BaseMessage | None:
    return next((message for message in reversed(messages) if isinstance(message, HumanMessage)), None)


def _goal_in(message: BaseMessage) -> str:
    """Return the text of a message; where it has none, the names of its other content."""
    text, media = _content(message)
    return text or (f"(a message without text: {media})" if media else "")


def _sender(message: BaseMessage) -> str:
    role = next((role for kind, role in _SENDERS if isinstance(message, kind)), None)
    return message.name or role or str(getattr(message, "role", message.type))


def _attachments(message: BaseMessage) -> list[Attachment]:
    """Return the content blocks of a message that can be attached to a task."""
    blocks = [] if isinstance(message.content, str) else [dict[str, Any](block) for block in message.content_blocks]
    media = [block for block in blocks if block["type"] != "text-plain" and is_attachment(block)]
    return [{key: value for key, value in block.items() if key != "id"} for block in media]


def _content(message: BaseMessage, *, is_attached: bool = False) -> tuple[str, str]:
    """Return the text of a message, and the names of what else a human could see in it, such as `image (2)`.

    Where its content `is_attached` to the task, without what can be attached.
    """
    if isinstance(message.content, str):
        return message.content if message.content.strip() else "", ""
    texts, media = list[str](), Counter[str]()
    for block in message.content_blocks:
        kind, fields = block["type"], dict[str, Any](block)
        if kind in ("text", "text-plain") and fields.get("text"):
            texts.append(str(fields["text"]))
        elif kind in _MEDIA and not (is_attached and is_attachment(fields)):
            inner = fields.get("value")
            media[str((inner.get("type") if isinstance(inner, Mapping) else None) or kind)] += 1
    text = ("" if isinstance(message, AIMessage) else "\n").join(texts)  # a model's blocks are parts of one text
    return text if text.strip() else "", ", ".join(f"{kind} ({n})" for kind, n in media.items())


def _outcome_text(outcome: Outcome) -> str:
    has_value = outcome.status in ("completed", "degraded")
    if has_value and outcome.value is not None:
        value = outcome.value
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    head, _, *rest = str(outcome).splitlines()  # the second line is about the value
    facts = f": {'; '.join(rest)}" if rest else ""
    return f"There is {'nothing to report' if has_value else 'no answer'} ({head}){facts}."


def _team_name(position: DelegationScope) -> str:
    """Return the name of a team; that of a nested one is in its account."""
    if position.account == position.run_id:
        return position.path[0] if position.path else "team"
    return unquote(position.account.rpartition("/")[2].rpartition("-")[0])
