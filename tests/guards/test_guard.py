"""What a guard is, and how a function becomes one."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from guardgraph.guards import (
    AccountLimiter,
    AllowanceLimiter,
    Budget,
    Convergence,
    Deadline,
    Depth,
    Escalate,
    Finish,
    Grounding,
    Guard,
    GuardContext,
    Limits,
    Retry,
    Schema,
    SourceReader,
    caps_accounts,
    guard,
    name_of,
    narrows_allowance,
    reads_sources,
)
from guardgraph.state import BadGraph
from tests.guards.views import view_of_result, view_of_subtask

OWN = guard(at="exit")(lambda context: None)
ALL: list[Guard] = [Budget(tokens=10**9), Convergence(), Deadline(1), Depth(), Grounding({}), Limits(), Schema(), OWN]


@pytest.mark.parametrize(
    "one", [*ALL, Depth() & Deadline(1), Deadline(1) | Deadline(2), Depth().only(categories=["safety"])]
)
def test_what_a_guard_can_do_is_what_its_protocols_say(one: Guard) -> None:
    assert narrows_allowance(one) is isinstance(one, AllowanceLimiter)
    assert caps_accounts(one) is isinstance(one, AccountLimiter)
    assert reads_sources(one) is isinstance(one, SourceReader)


def objects(context: GuardContext) -> str | None:
    return "names a rival" if "ACME" in str(context.subject.value) else None


@pytest.mark.parametrize("one", ALL, ids=name_of)
def test_every_guard_keeps_the_protocol(one: Guard) -> None:
    assert isinstance(one, Guard)
    assert one.gates <= {"admission", "dispatch", "handoff", "round", "exit"}
    assert one.gates


def test_guards_that_set_limits_narrow_and_only_grounding_reads() -> None:
    assert [name_of(one) for one in ALL if isinstance(one, AllowanceLimiter)] == [
        "Budget",
        "Deadline",
        "Depth",
        "Limits",
    ]
    assert [name_of(one) for one in ALL if isinstance(one, SourceReader)] == ["Grounding"]


def test_a_function_that_returns_none_lets_pass() -> None:
    verdict = guard(at="handoff")(objects)(view_of_result("a fair report"))

    assert (verdict.guard, verdict.action, verdict.reason) == ("objects", "pass", "")


def test_a_function_that_returns_a_text_trips_with_it_as_the_reason() -> None:
    verdict = guard(at="handoff")(objects)(view_of_result("ACME is worse"))

    assert (verdict.guard, verdict.gate, verdict.subject) == ("objects", "handoff", "r-1")
    assert (verdict.action, verdict.reason) == ("trip", "names a rival")


def test_an_empty_reason_trips_too() -> None:
    verdict = guard(at="handoff")(lambda context: "")(view_of_result())

    assert (verdict.action, verdict.reason) == ("trip", "no reason given")


def test_a_verdict_is_taken_as_it_is() -> None:
    said = view_of_result().verdict("own", trips=False, measured=1).model_copy(update={"action": "alert"})

    assert guard(at="handoff")(lambda context: said)(view_of_result()) is said


@pytest.mark.parametrize("answer", [True, False, 0, [], b"no"])
def test_any_other_answer_is_an_error(answer: Any) -> None:
    with pytest.raises(TypeError, match=f"must return None, a reason or a Verdict, got {type(answer).__name__}"):
        guard(at="handoff")(lambda context: answer)(view_of_result())


def test_gates_and_what_follows_are_declared() -> None:
    one = guard(at=("dispatch", "exit"), on_trip=Retry(2))(objects)

    assert one.gates == {"dispatch", "exit"}
    assert one.on_trip == Retry(2)
    assert guard(at="exit")(objects).on_trip == Finish()


@pytest.mark.parametrize("at", ["door", ("dispatch", "door"), (), None, 3, True, b"exit", [None], [["exit"]], {}])
def test_a_gate_that_does_not_exist_is_refused(at: Any) -> None:
    with pytest.raises(
        BadGraph, match="`at` must name gates out of admission, dispatch, exit, handoff, model, round, tool; got"
    ):
        guard(at=at)


@pytest.mark.parametrize("on_trip", [Escalate, "retry", True])
def test_what_is_no_reaction_is_refused(on_trip: Any) -> None:
    with pytest.raises(BadGraph, match=r"`on_trip` must be Finish \| Retry \| .* \| None, got"):
        guard(at="exit", on_trip=on_trip)


def test_an_async_function_is_refused() -> None:
    async def asks(context: GuardContext) -> str | None:
        raise AssertionError

    with pytest.raises(BadGraph, match="guard 'asks' is async"):
        guard(at="exit")(asks)  # pyright: ignore[reportArgumentType] -- that is the point


@pytest.mark.parametrize("what", [None, "exit", Depth])
def test_what_does_not_judge_is_refused(what: Any) -> None:
    with pytest.raises(BadGraph, match=r"`@guard` decorates a function of a GuardContext, got"):
        guard(at="exit")(what)


def test_a_callable_without_a_name_is_called_by_its_type() -> None:
    one = guard(at="dispatch")(partial(lambda reason, context: reason, "no"))

    assert one(view_of_subtask()).guard == "partial"
    assert name_of(one) == "partial"
