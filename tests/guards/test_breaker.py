"""`Breaker`: what it lets through and what it stops, by one limit or the other."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.guards import Breaker, Circuit, Escalate, Finish, GuardContext, Refuse
from guardgraph.state import AgentError, AgentInfo, BadGraph, ErrorKind, Result, Subtask, Task
from tests.guards.views import NOW, view_of_subtask

SUBTASK, AGAIN, OTHER = (Subtask(id=id_, goal=goal) for id_, goal in (("s-1", "look"), ("s-2", " LOOK "), ("s-3", "x")))


def failed(id_: str, subtask: str | None = "s-1", *, agent: str = "a", kind: ErrorKind = "raised", **facts: Any) -> Any:
    error = AgentError(kind=kind, message="no")
    return Result(id=id_, agent=agent, subtask=subtask, status="failed", error=error, **facts)


def view(gate: Any, subject: Any, *results: Result, refused: tuple[str, ...] = ()) -> GuardContext:
    state = {"results": list(results), "refused": list(refused), "subtasks": [SUBTASK, AGAIN, OTHER]}
    return GuardContext(
        gate=gate, subject=subject, now=NOW, state=state, agent=AgentInfo("a", "1", frozenset(), ("a",))
    )


@pytest.mark.parametrize(("count", "action"), [(1, "pass"), (2, "trip"), (3, "trip")])
def test_a_task_that_has_failed_too_often_is_not_tried_again(count: int, action: str) -> None:
    results = [failed(str(number), agent="ab"[number % 2]) for number in range(count)]

    verdict = Breaker(2)(view("handoff", results[-1], *results))

    assert (verdict.action, verdict.measured, verdict.limit) == (action, count, 2)


def test_the_reason_names_who_has_failed() -> None:
    results = [failed("1"), failed("2", agent="b"), failed("3")]

    verdict = Breaker(3)(view("handoff", results[-1], *results))

    assert verdict.reason == ("3 attempts at one task have failed or were refused (a 2, b 1), 3 are the limit")


def test_refused_answers_count_and_the_same_work_is_one_task() -> None:
    answer = Result(id="1", agent="a", subtask="s-1", value="nonsense")

    assert Breaker(2)(view("dispatch", AGAIN, answer, failed("2"), refused=("1", "2"))).action == "trip"
    assert Breaker(2)(view("dispatch", AGAIN, answer, failed("2"))).action == "pass"
    assert Breaker(2)(view("dispatch", OTHER, answer, failed("2"), refused=("1", "2"))).action == "pass"


def test_an_answer_passes_whatever_has_failed_before() -> None:
    answer = Result(id="3", agent="a", subtask="s-1", value="good")

    assert Breaker(1)(view("handoff", answer, failed("1"), failed("2"), answer)).action == "pass"


@pytest.mark.parametrize("kind", ["skipped", "stopped", "deadline", "handoff"])
def test_what_was_not_to_begin_or_was_ended_is_no_failure(kind: ErrorKind) -> None:
    result = failed("1", kind=kind)

    assert Breaker(1)(view("handoff", result, result)).action == "pass"


def test_a_task_as_a_whole_is_told_apart_by_who_serves_it() -> None:
    results = [failed("1", None), failed("2", None, agent="spare", fallback_for="a"), failed("3", None, agent="b")]

    assert Breaker(2)(view("handoff", results[1], *results)).action == "trip"
    assert Breaker(2)(view("handoff", results[2], *results)).action == "pass"
    assert Breaker(2)(view("dispatch", Task(goal="x"), *results)).action == "trip"
    assert Breaker(3)(view("dispatch", Task(goal="x"), *results)).action == "pass"


@pytest.mark.parametrize(
    ("circuit", "action"),
    [
        (None, "pass"),
        (Circuit("t/a"), "pass"),
        (Circuit("t/a", "closed", 9, 9), "pass"),
        (Circuit("t/a", "open", 8, 6, 42.4), "trip"),
        (Circuit("t/a", "half_open", 8, 6), "trip"),
        (Circuit("t/a", "half_open", 8, 6, is_probe=True), "pass"),
    ],
)
def test_an_agent_whose_circuit_is_not_closed_is_sent_nothing_but_the_probe(
    circuit: Circuit | None, action: str
) -> None:
    verdict = Breaker(rate=0.5)(view_of_subtask(circuit=circuit))

    assert verdict.action == action
    if circuit is not None and circuit.state == "open":
        assert verdict.reason == (
            "the circuit of 't/a' is open for 42 s: 6 of its last 8 attempts within 600 s have failed"
        )
        assert (verdict.measured, verdict.limit) == (0.75, 0.5)


def test_what_it_does_depends_on_its_limit() -> None:
    assert (Breaker(3).on_trip, Breaker(3).gates) == (Escalate(), frozenset({"handoff", "dispatch"}))
    assert (Breaker(rate=0.5).on_trip, Breaker(rate=0.5).gates) == (Finish(), frozenset({"dispatch"}))
    assert Breaker(3, on_trip=Refuse()).on_trip == Breaker(rate=0.5, on_trip=Refuse()).on_trip == Refuse()
    assert Breaker(3).judges_failures
    assert not Breaker(rate=0.5).judges_failures


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "give `failures` or `rate`"),
        ({"failures": 3, "rate": 0.5}, "give `failures` or `rate`"),
        ({"failures": 0}, "`failures` must be at least 1"),
        ({"failures": True}, "`failures` must be"),
        ({"rate": 0}, "`rate` must be above 0"),
        ({"rate": 1.01}, "`rate` must be above 0 and at most 1"),
        ({"rate": float("nan")}, "`rate` must be above 0"),
        ({"rate": 0.5, "window": 0}, "`window` must be above 0"),
        ({"rate": 0.5, "window": float("inf")}, "`window` must be above 0 and at most"),
        ({"rate": 0.5, "window": 366 * 86_400 + 1}, "`window` must be above 0 and at most 31622400 seconds"),
        ({"rate": 0.5, "pause": -1}, "`pause` must be above 0"),
        ({"rate": 0.5, "least": 0}, "`least` must be at least 1"),
        ({"failures": 3, "on_trip": "stop"}, "`on_trip` must be"),
    ],
)
def test_what_is_no_limit_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        Breaker(**given)


@pytest.mark.parametrize("seconds", [0.5, 366 * 86_400])
def test_times_are_from_above_nothing_to_a_year(seconds: float) -> None:
    breaker = Breaker(rate=1, window=seconds, pause=seconds)

    assert (breaker.window, breaker.pause) == (seconds, seconds)


@pytest.mark.parametrize("state", ["closed", "open"])
def test_the_rate_is_measured_to_four_digits(state: Any) -> None:
    assert Breaker(rate=0.5)(view_of_subtask(circuit=Circuit("t/a", state, 3, 2))).measured == 0.6667


def test_more_attempts_than_are_known_are_refused() -> None:
    assert Breaker(rate=0.5, least=200).least == 200
    with pytest.raises(BadGraph, match="`least` must be at most 200, since no more attempts are known, got 201"):
        Breaker(rate=0.5, least=201)
