"""Which errors of a client mean that the same call may succeed later, and when."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

__all__ = ("is_overload", "is_unavailable", "retry_after_of")

_STATUSES = frozenset({429, 503, 529})
_CONNECTION = frozenset({"APIConnectionError", "TransportError", "ServiceUnavailable", "ResourceExhausted"})
"""Classes of clients by name (OpenAI and Anthropic, httpx, Google), so that no client is imported."""
_FINAL = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of a 429 that no waiting helps against."""
_CAUSES = 5


def is_overload(error: BaseException) -> bool:
    """Return whether an error means too many requests, an overload, or that no connection or answer came."""
    for one in _causes(error):
        status = _status_of(one)
        if status is not None:
            return status in _STATUSES and getattr(one, "code", None) not in _FINAL
        if _has_no_answer(one):
            return True
    return False


def is_unavailable(error: BaseException) -> bool:
    """Return whether an error means that a service does not work for now, or not for this account.

    Those are the statuses 408, 429 and from 500 on, and that no connection or answer came.
    """
    for one in _causes(error):
        status = _status_of(one)
        if status is not None:
            return status in (408, 429) or status >= 500
        if _has_no_answer(one):
            return True
    return False


def _has_no_answer(error: BaseException) -> bool:
    return isinstance(error, ConnectionError | TimeoutError) or bool(_CONNECTION.intersection(_names(error)))


def retry_after_of(error: BaseException, *, now: datetime | None = None) -> float | None:
    """Return for how many seconds the server of a refused call asks to wait, from `now` on; `None` if for none.

    It reads the headers `retry-after-ms` and `Retry-After`, in seconds or as an HTTP date (RFC 9110, section 10.2.3).
    """
    for one in _causes(error):
        headers: Any = getattr(getattr(one, "response", None), "headers", None)
        get = getattr(headers, "get", None)
        if get is None:
            continue
        for name, unit in (("retry-after-ms", 0.001), ("Retry-After", 1.0), ("retry-after", 1.0)):
            found = _seconds(get(name), unit, now or datetime.now(UTC))
            if found is not None:
                return found
    return None


def _seconds(value: object, unit: float, now: datetime) -> float | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    try:
        seconds = float(value) * unit
    except ValueError:
        return _until(str(value), now)
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _until(date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return max((at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds(), 0.0)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from."""
    one: BaseException | None = error
    for _ in range(_CAUSES):
        if one is None:
            return
        yield one
        one = one.__cause__


def _status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a refused call, as the clients report it."""
    for status in (getattr(error, "status_code", None), getattr(getattr(error, "response", None), "status_code", None)):
        if isinstance(status, int):
            return status
    return None


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
