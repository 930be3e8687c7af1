"""What models that tools call have spent, noted in the answers of these tools: there another process finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from guardgraph.state import Usage

__all__ = ("spent_elsewhere", "with_spending")

_KEY = "guard_run"


def with_spending(answer: Any, *, run: str, by: str, usage: Usage) -> Any:
    """Return the answer of a tool with what the run had spent by then, as the process `by` knows it."""
    if not isinstance(answer, ToolMessage):
        return answer
    note = {"run": run, "by": by, "usage": usage.model_dump(mode="json")}
    return answer.model_copy(update={"response_metadata": {**answer.response_metadata, _KEY: note}})


def spent_elsewhere(messages: Sequence[BaseMessage], *, run: str, since: Usage) -> dict[str, Usage]:
    """Return what tools have spent beyond `since`, by process, after the last answer of the model."""
    found = dict[str, Usage]()
    for message in takewhile(lambda one: not isinstance(one, AIMessage), reversed(messages)):
        note: Mapping[str, Any] = message.response_metadata.get(_KEY) or {} if isinstance(message, ToolMessage) else {}
        if note.get("run") == run:
            usage = _beyond(Usage.model_validate(note["usage"]), since)
            by = str(note["by"])
            found[by] = max(usage, found.get(by, usage), key=lambda one: one.calls)  # each is a sum of those before
    return found


def _beyond(whole: Usage, part: Usage) -> Usage:
    """Return what `whole` has more than `part`, without its time."""
    return Usage(
        input_tokens=max(whole.input_tokens - part.input_tokens, 0),
        output_tokens=max(whole.output_tokens - part.output_tokens, 0),
        usd=None if whole.usd is None or part.usd is None else max(whole.usd - part.usd, 0 * whole.usd),
        calls=max(whole.calls - part.calls, 0),
    )
