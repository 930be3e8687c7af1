"""The usage that a model reports."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple, cast
from uuid import UUID

from langchain_core.messages import LC_ID_PREFIX, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

__all__ = ("CACHED", "UsageReport", "messages_of", "report_of", "was_cut")

_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_CUT = frozenset({"length", "max_tokens", "max_output_tokens"})
_PARTS = {
    ("input_token_details", "cache_read"): "cache_read_tokens",
    ("input_token_details", "cache_creation"): "cache_write_tokens",
    ("input_token_details", "ephemeral_5m_input_tokens"): "cache_write_5m_tokens",
    ("input_token_details", "ephemeral_1h_input_tokens"): "cache_write_1h_tokens",
    ("input_token_details", "audio"): "input_audio_tokens",
    ("output_token_details", "reasoning"): "output_reasoning_tokens",
    ("output_token_details", "audio"): "output_audio_tokens",
}
"""Tokens with prices of their own: where LangChain reports them, and their names in the price table."""
_FOR_A_TIME = ("cache_write_5m_tokens", "cache_write_1h_tokens")
_MOST_IDS = 10_000
_MOST = 10**12


class UsageReport(NamedTuple):
    """The tokens of one model call."""

    read: int
    written: int
    parts: Mapping[str, int]
    """Tokens among these that may have prices of their own, as `Price.usd` takes them."""
    model: str | None
    """The model's own name."""


CACHED = UsageReport(0, 0, {}, None)
"""What is reported for an answer out of LangChain's cache."""


def messages_of(response: LLMResult) -> list[BaseMessage]:
    """Return the messages of an answer."""
    return [one.message for row in response.generations for one in row if isinstance(one, ChatGeneration)]


def was_cut(message: BaseMessage) -> bool:
    """Return whether a provider reports that it ended an answer at the bound."""
    metadata: dict[str, Any] = message.response_metadata
    if not metadata:
        return False
    reasons = [metadata.get(name) for name in _REASONS] + [(metadata.get("incomplete_details") or {}).get("reason")]
    return any(str(reason).lower() in _CUT for reason in reasons)


def report_of(response: LLMResult, run_id: UUID) -> UsageReport | None:
    """Return the tokens of the call `run_id`; `None` where none are reported, or what cannot be.

    Several generations of one call carry either a report each, which are added up, or all of them that of the whole
    call, which counts once.
    """
    messages = [message for message in messages_of(response) if _usage(message)]
    if not messages:
        return None
    known = [_IDS.is_known(message.id, run_id) for message in messages]
    if all(_is_free(message) and is_known for message, is_known in zip(messages, known, strict=True)):
        return CACHED
    reports = _distinct(messages)
    counts = [(_count(usage, "input_tokens"), _count(usage, "output_tokens")) for usage in reports]
    reads, writes = [read for read, _ in counts if read is not None], [out for _, out in counts if out is not None]
    if len(reads) + len(writes) < 2 * len(reports) or not any((*reads, *writes)):
        return None
    name = next((m.response_metadata.get("model_name") for m in messages if m.response_metadata), None)
    return UsageReport(sum(reads), sum(writes), _parts(reports), name if isinstance(name, str) and name else None)


def _distinct(messages: Sequence[BaseMessage]) -> list[Mapping[str, Any]]:
    """Return the reports, without those that repeat the one of the same response."""
    found: list[tuple[object, Mapping[str, Any]]] = []
    for message in messages:
        one = (message.response_metadata.get("id"), _usage(message))
        if one not in found:
            found.append(one)
    return [usage for _, usage in found]


def _parts(reports: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for usage in reports:
        if not (usage.get("input_token_details") or usage.get("output_token_details")):
            continue
        for (group, name), key in _PARTS.items():
            count = _count(_mapping(usage.get(group)), name)
            if count:
                counts[key] = counts.get(key, 0) + count
    for_a_time = sum(counts.get(key, 0) for key in _FOR_A_TIME)
    if for_a_time:  # some clients count them in, some do not; the table wants them counted in
        counts["cache_write_tokens"] = max(counts.get("cache_write_tokens", 0), for_a_time)
    return counts


def _usage(message: BaseMessage) -> Mapping[str, Any]:
    return _mapping(getattr(message, "usage_metadata", None))


def _mapping(given: object) -> Mapping[str, Any]:
    """Return what was reported; nothing where it is no mapping."""
    return cast("Mapping[str, Any]", given) if isinstance(given, Mapping) else {}


def _is_free(message: BaseMessage) -> bool:
    """Return whether a report has the cost that LangChain sets on cached answers; some providers set it, too."""
    return _usage(message).get("total_cost") == 0


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    """Return how many tokens a model reports; `None` for what is no number of tokens."""
    count = usage.get(name)
    return count if isinstance(count, int) and 0 <= count <= _MOST else None


class _Ids:
    """The ids of answers: one out of a cache has that of another call, or none."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, UUID] = OrderedDict()
        self._lock = Lock()

    def is_known(self, id_: str | None, run_id: UUID) -> bool:
        """Return whether an answer with this id is that of another call than `run_id`, and remember it."""
        if id_ is None or id_.startswith(LC_ID_PREFIX):  # LangChain names each new answer after its call
            return id_ is None or str(run_id) not in id_
        with self._lock:
            first = self._calls.setdefault(id_, run_id)
            if len(self._calls) > _MOST_IDS:
                self._calls.popitem(last=False)
        return first != run_id


_IDS = _Ids()
