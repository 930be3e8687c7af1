"""The recent calls of an attempt or of a run."""

from __future__ import annotations

import json
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


def test_long_arguments_are_left_out_and_the_calls_are_still_the_same() -> None:
    call, other = tool_call(q="x" * 3_000), tool_call(q="x" * 3_001)

    restored = restored_call(json.loads(json.dumps(stored_call(call))))

    assert isinstance(restored, ToolCall)
    assert (restored.arguments, restored.signature == call.signature) == ({}, True)
    assert call.signature != other.signature
    assert stored_call(restored) == stored_call(call)


def earlier(*tasks: str) -> tuple[CallLog, list[Any]]:
    """Return a log that goes on from one call of each task, and these calls."""
    before, calls = CallLog(9), [tool_call(q=task) for task in tasks]
    for call, task in zip(calls, tasks, strict=True):
        before.add(call, task)
    log = CallLog(9)
    log.add_earlier(json.loads(json.dumps(before.stored(9))))
    return log, calls


def test_a_task_that_runs_again_replaces_what_it_has_called_before() -> None:
    log, (first, _, other) = earlier("w:1|m:1", "w:1|t:2", "w:1|t:20")
    again, next_one = tool_call(q="again"), tool_call(q="next")

    log.add(again, "w:1|t:2")
    log.add(next_one, "w:1|t:2")

    assert log.calls == (first, other, again, next_one)


def test_an_attempt_that_begins_anew_forgets_what_was_called_within() -> None:
    log, (_, _, other) = earlier("w:1", "w:1|m:2", "w:10|m:2")
    now = tool_call(q="now")
    log.add(now, "w:1|t:1")

    log.remove_earlier("w:1")

    assert log.calls == (other, now)


def test_an_interrupted_call_is_forgotten_with_the_others_of_its_task() -> None:
    log, calls = CallLog(9), [tool_call(q=str(n)) for n in range(4)]
    for call, task in zip(calls, ("a", "a", "b", ""), strict=True):
        log.add(call, task)

    for call in (calls[0], calls[3]):
        log.remove_task_of(call.id)
    log.remove_task_of("unknown")

    assert log.calls == (calls[2],)


def test_the_last_ones_are_stored() -> None:
    log, calls = CallLog(9), [tool_call(q=str(n)) for n in range(5)]
    for call in calls:
        log.add(call, "task")

    assert [json.loads(one) for one in log.stored(2)] == [{**stored_call(call), "task": "task"} for call in calls[3:]]


def test_a_call_is_stored_as_it_is_by_now() -> None:
    log, call = CallLog(9), model_call()
    log.add(call)
    before = log.stored(9)
    log.change(call.id, lambda call: replace(call, tokens=7) if isinstance(call, ModelCall) else call)

    assert [json.loads(one)["tokens"] for one in (*before, *log.stored(9))] == [0, 7]


def test_calls_that_were_stored_as_data_are_read_too() -> None:
    log, call = CallLog(9), tool_call(q="x")
    log.add_earlier([stored_call(call)])

    assert log.calls == (call,)
