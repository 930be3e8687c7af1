"""The same again, more often than allowed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from guardgraph.guards import Finish, GuardContext, Repetition, Retry
from guardgraph.state import Message, Result
from tests.guards.call_views import model_call, tool_call, view_of_call
from tests.guards.views import NOW, view_of_task


@pytest.mark.parametrize(("before", "action"), [(1, "pass"), (2, "pass"), (3, "trip")])
def test_trips_on_one_tool_call_too_many_with_the_same_arguments(before: int, action: str) -> None:
    history = [tool_call(q=" price of X", n=1) for _ in range(before)]

    verdict = Repetition(3)(view_of_call(tool_call(n=1.0, q="price  of X"), history))

    assert verdict.action == action
    assert (verdict.measured, verdict.limit) == (before + 1, 3)
    if action == "trip":
        assert verdict.reason == "the tool 'search' was called 3 times with the same arguments; do something else"


def test_other_arguments_and_other_tools_are_not_the_same() -> None:
    history = [tool_call(q="x"), tool_call(q="x"), tool_call("read", q="y"), tool_call(q="z")]

    assert Repetition(2)(view_of_call(tool_call(q="y"), history)).action == "pass"
    assert Repetition(2)(view_of_call(tool_call(q="x"), history)).action == "trip"


@pytest.mark.parametrize(("window", "action"), [(4, "pass"), (5, "trip")])
def test_counts_within_the_window_alone(window: int, action: str) -> None:
    history = [tool_call(q="x"), *(tool_call(q=str(n)) for n in range(4))]

    assert Repetition(1, window=window)(view_of_call(tool_call(q="x"), history)).action == action


@pytest.mark.parametrize(("before", "action"), [(2, "pass"), (3, "pass"), (4, "trip")])
def test_trips_once_a_model_has_given_the_same_answer_too_often(before: int, action: str) -> None:
    history = [model_call("other"), *(model_call("same") for _ in range(before))]

    assert Repetition(3)(view_of_call(model_call(), history)).action == action


def test_a_model_whose_last_answer_is_a_new_one_goes_on() -> None:
    history = [*(model_call("same") for _ in range(4)), model_call("new")]

    assert Repetition(3)(view_of_call(model_call(), history)).action == "pass"


def test_the_answers_of_other_agents_in_the_graph_are_theirs() -> None:
    history = [model_call("same", agent=name) for name in "abcabc"]

    assert Repetition(3)(view_of_call(model_call(agent="a"), history)).action == "pass"
    assert Repetition(1)(view_of_call(model_call(agent="a"), history)).action == "trip"


@pytest.mark.parametrize(("on_trip", "most"), [(Finish(), 3), (Retry(1), 4), (Retry(2), 5)])
def test_a_model_that_calls_tools_may_read_the_reason_first(on_trip: Any, most: int) -> None:
    guard = Repetition(3, on_trip=on_trip)

    def judged(count: int) -> str:
        verdict = guard(view_of_call(model_call(), [model_call("same", calls_tools=True) for _ in range(count)]))
        assert verdict.action == "pass" or (verdict.measured, verdict.limit) == (count, most)
        return verdict.action

    assert (judged(most), judged(most + 1)) == ("pass", "trip")


@pytest.mark.parametrize(("before", "action"), [(2, "pass"), (3, "pass"), (4, "trip")])
def test_trips_on_one_handover_too_many_between_the_same_two_agents(before: int, action: str) -> None:
    history = [model_call(str(n), agent="ab"[n % 2], ago=60 - n) for n in range(before)]

    verdict = Repetition(handovers=3)(view_of_call(model_call(agent="ab"[before % 2]), history))

    assert verdict.action == action
    assert verdict.measured == before


def test_calls_at_the_same_time_are_no_handovers() -> None:
    history = [model_call(None, agent="ab"[n % 2], ago=60 - n) for n in range(9)]

    assert Repetition(handovers=1)(view_of_call(model_call(agent="b"), history)).action == "pass"


def test_a_call_of_a_third_agent_beside_two_is_not_their_handover() -> None:
    history = [model_call(str(n), agent="ab"[n % 2], ago=60 - n) for n in range(4)]
    running = model_call(None, agent="b", ago=5)

    assert Repetition(handovers=1)(view_of_call(model_call(agent="c"), [*history, running])).action == "pass"


def test_the_two_that_hand_over_now_are_counted_and_named() -> None:
    history = [model_call(str(n), agent=name, ago=60 - n) for n, name in enumerate("abdcdc")]

    verdict = Repetition(handovers=3)(view_of_call(model_call(agent="d"), history))

    assert verdict.reason == "'c' and 'd' have handed over to each other 4 times"


def test_what_is_neither_a_call_nor_an_answer_passes() -> None:
    assert Repetition(1)(view_of_task()).action == "pass"


@pytest.mark.parametrize(("before", "action"), [(1, "pass"), (2, "trip")])
def test_counts_handovers_by_messages(before: int, action: str) -> None:
    def result(number: int, sender: str, to: str) -> Result:
        message = Message(id=f"m{number}", recipients=(to,), content="your turn", performative="hand_off")
        return Result(id=f"r{number}", agent=sender, messages=(message,))

    names = ("a", "b")
    earlier = [result(n, names[n % 2], names[1 - n % 2]) for n in range(before)]
    subject = result(9, names[before % 2], names[1 - before % 2])
    context = GuardContext(gate="handoff", subject=subject, now=NOW, state={"results": [*earlier, subject]})

    assert Repetition(handovers=2)(context).action == action


@pytest.mark.parametrize(("apart", "action"), [(0, "trip"), (1, "trip"), (-1, "pass")])
def test_a_handover_begins_when_the_other_has_ended(apart: float, action: str) -> None:
    names = [model_call(str(n), agent="ab"[n % 2], ago=60 - 10 * n) for n in range(3)]
    history = [replace(one, ended=one.at + timedelta(seconds=10 - apart)) for one in names]

    assert Repetition(handovers=2)(view_of_call(model_call(agent="b", ago=30), history)).action == action
