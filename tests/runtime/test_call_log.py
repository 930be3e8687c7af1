"""The recent calls of an attempt or of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from guardgraph.guards import ModelCall, ToolCall
from guardgraph.runtime.call_log import CallLog, restored_call, stored_call
from tests.guards.call_views import model_call, tool_call
from tests.guards.views import NOW


def test_keeps_the_last_ones_in_the_order_in_which_they_began() -> None:
    log, calls = CallLog(3), [tool_call(q=str(n)) for n in range(5)]
    for call in calls:
        log.add(call)

    assert log.calls == tuple(calls[2:])


def test_a_call_that_has_ended_keeps_its_place() -> None:
    log, first = CallLog(3), model_call()
    for call in (first, tool_call(q="x")):
        log.add(call)

    log.change(first.id, lambda call: replace(call, tokens=7) if isinstance(call, ModelCall) else call)
    log.change("unknown", lambda call: call)

    assert log.calls[0] == replace(first, tokens=7)


def test_a_call_that_was_not_made_is_forgotten() -> None:
    log, call = CallLog(3), tool_call(q="x")
    log.add(call)
    log.remove(call.id)
    log.remove("unknown")

    assert log.calls == ()


@pytest.mark.parametrize(
    "call",
    [
        model_call("said", tokens=7, model="m", calls_tools=True, ended=NOW + timedelta(seconds=2)),
        model_call(),
        tool_call(q="x", n=[1, {"a": None}]),
    ],
)
def test_a_call_is_the_same_after_it_was_stored(call: Any) -> None:
    assert restored_call(stored_call(call)) == call


def test_arguments_that_are_no_json_are_stored_by_their_form() -> None:
    call = tool_call(q=b"x", s={1})

    restored = restored_call(stored_call(call))

    assert isinstance(restored, ToolCall)
    assert restored.signature == call.signature
