"""Which errors of clients are overloads, and what their servers ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest

from guardgraph.runtime.rates.overload import is_overload, retry_after_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
REQUEST: Any = httpx.Request("POST", "http://127.0.0.1/")


class Refused(Exception):
    def __init__(self, status: Any = None, *, code: str | None = None, **headers: Any) -> None:
        self.status_code, self.code = status, code
        self.response = SimpleNamespace(headers={name.replace("_", "-"): value for name, value in headers.items()})
        super().__init__("refused")


def caused(error: Exception) -> Exception:
    outer = RuntimeError("the tool failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused(429), True),
        (Refused(503), True),
        (Refused(529), True),
        (caused(Refused(429)), True),
        (Refused(428), False),
        (Refused(400), False),
        (Refused(500), False),
        (Refused(429, code="insufficient_quota"), False),
        (Refused("429"), False),
        (httpx.HTTPStatusError("x", request=REQUEST, response=httpx.Response(503, request=REQUEST)), True),
        (httpx.ConnectError("x"), True),
        (httpx.ReadTimeout("x"), True),
        (openai.APIConnectionError(request=REQUEST), True),
        (openai.APITimeoutError(request=REQUEST), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (ValueError("429"), False),
        (KeyError("x"), False),
    ],
)
def test_an_overload_is_found(error: Exception, expected: bool) -> None:
    assert is_overload(error) is expected


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Refused(429, Retry_After="7"), 7),
        (Refused(429, Retry_After=" 2.5 "), 2.5),
        (Refused(429, Retry_After="0"), 0),
        (caused(Refused(429, Retry_After="7")), 7),
        (Refused(429, Retry_After="7", retry_after_ms="1500"), 1.5),
        (Refused(429, Retry_After=format_datetime(NOW + timedelta(seconds=30), usegmt=True)), 30),
        (Refused(429, Retry_After=format_datetime(NOW - timedelta(seconds=30), usegmt=True)), 0),
        (Refused(429, Retry_After="Tue, 01 Jan 2030 00:00:05"), 5),
        (Refused(429, Retry_After="soon"), None),
        (Refused(429, Retry_After=""), None),
        (Refused(429, Retry_After="-1"), None),
        (Refused(429, Retry_After="nan"), None),
        (Refused(429, Retry_After="inf"), None),
        (Refused(429, Retry_After="1e999"), None),
        (Refused(429, Retry_After=True), None),
        (Refused(429, Retry_After=b"7"), None),
        (Refused(429), None),
        (ValueError("x"), None),
    ],
)
def test_what_the_server_asks_for_is_read(error: Exception, seconds: float | None) -> None:
    assert retry_after_of(error, now=NOW) == seconds


def test_headers_of_a_real_response_are_read_whatever_their_case() -> None:
    response: Any = httpx.Response(429, headers={"RETRY-AFTER": "3"}, request=REQUEST)

    assert retry_after_of(openai.RateLimitError("x", response=response, body=None)) == 3


def test_a_chain_of_causes_that_is_a_circle_ends() -> None:
    error = ValueError("x")
    error.__cause__ = error

    assert not is_overload(error)
    assert retry_after_of(error) is None
