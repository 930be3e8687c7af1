"""Planning ends, and going in circles is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Convergence, GuardContext, evaluate_guards
from guardgraph.state import Plan, Result, Subtask
from tests.guards.views import plan_of, view_of_plan

A, B, C = plan_of("search prices"), plan_of("search dates"), plan_of("search names")


@pytest.mark.parametrize(("before", "action"), [((), "pass"), ((A,), "pass"), ((A, B), "trip")])
def test_trips_only_above_its_rounds(before: tuple[Plan, ...], action: str) -> None:
    verdict = Convergence(2)(view_of_plan(C, before=before))

    assert verdict.action == action
    assert (verdict.measured, verdict.limit) == (len(before) + 1, 2)


def test_says_that_the_planner_wants_more() -> None:
    assert Convergence(1)(view_of_plan(B, before=(A,))).reason == "the planner wants round 2, 1 are allowed"


@pytest.mark.parametrize("before", [(), (A,), (A, B), (Plan(),), (A, Plan())])
def test_a_planner_that_is_content_always_passes(before: tuple[Plan, ...]) -> None:
    assert Convergence(1)(view_of_plan(Plan(), before=before)).action == "pass"


def test_the_same_plan_again_trips() -> None:
    verdict = Convergence(5)(view_of_plan(A, before=(A,)))

    assert (verdict.action, verdict.reason) == ("trip", "round 2 asks for the same work as round 1")


def test_swinging_between_two_plans_trips_at_the_first_return() -> None:
    assert Convergence(9)(view_of_plan(B, before=(A,))).action == "pass"
    assert Convergence(9)(view_of_plan(A, before=(A, B))).reason == "round 3 asks for the same work as round 1"
    assert Convergence(9)(view_of_plan(B, before=(A, B, C))).reason == "round 4 asks for the same work as round 2"


@pytest.mark.parametrize(
    "again",
    [
        plan_of("search prices", "search dates", prefix="other"),
        plan_of("search dates", "search prices"),
        plan_of("  Search\n PRICES ", "search dates"),
        Plan(reasoning="new thoughts", subtasks=plan_of("search prices", "search dates").subtasks),
    ],
    ids=["other ids", "other order", "other white space and case", "other reasoning"],
)
def test_the_same_work_in_other_clothes_trips(again: Plan) -> None:
    before = plan_of("search prices", "search dates")

    assert Convergence(5)(view_of_plan(again, before=(before,))).action == "trip"


@pytest.mark.parametrize(
    "other",
    [
        plan_of("search prices", "search dates"),
        Plan(subtasks=(Subtask(id="s0", goal="search prices", skill="web"),)),
        Plan(subtasks=(Subtask(id="s0", goal="search prices", inputs={"page": 2}),)),
    ],
    ids=["more work", "another skill", "other inputs"],
)
def test_other_work_passes(other: Plan) -> None:
    assert Convergence(5)(view_of_plan(other, before=(A,))).action == "pass"


def view_of_results(*rounds: str, refused: str = "") -> GuardContext:
    """Return a new plan after rounds of which each has brought these letters as values."""
    goals = [plan_of(f"goal {number}") for number in range(len(rounds) + 1)]
    context = view_of_plan(goals[-1], before=tuple(goals[:-1]))
    results = [
        Result(id=f"{number}-{place}", agent="a", round=number, value={"x": letter, "y": 1})
        for number, letters in enumerate(rounds, 1)
        for place, letter in enumerate(letters)
    ]
    accepted = [one.id for one in results if one.value["x"] not in refused]  # type: ignore[index, call-overload]
    return replace(context, state={**context.state, "results": results, "accepted": accepted})


@pytest.mark.parametrize(
    ("rounds", "reason"),
    [
        ("A", None),
        ("AB", None),
        ("AA", "no progress: round 2 has brought the same results as round 1"),
        ("ABB", "no progress: round 3 has brought the same results as round 2"),
        ("AAB", None),
        ("ABA", None),
        ("ABAB", "the results of rounds 1 to 4 repeat every 2 rounds"),
        ("CABAB", "the results of rounds 2 to 5 repeat every 2 rounds"),
        ("ABCAB", None),
        ("ABCABC", "the results of rounds 1 to 6 repeat every 3 rounds"),
        ("ABCDABC", None),
        ("ABCDABCD", "the results of rounds 1 to 8 repeat every 4 rounds"),
        ("ABCDEABCDE", None),
        ("ABACABAD", None),
    ],
)
def test_rounds_that_bring_the_same_again_trip(rounds: str, reason: str | None) -> None:
    verdict = Convergence(99)(view_of_results(*rounds))

    assert (verdict.action, verdict.reason) == ("pass" if reason is None else "trip", reason or "")


@pytest.mark.parametrize(("period", "rounds", "action"), [
    (0, "AA", "pass"), (1, "AA", "trip"), (1, "ABAB", "pass"), (2, "ABAB", "trip"), (5, "ABCDEABCDE", "trip"),
])  # fmt: skip
def test_only_repetitions_up_to_the_period_count(period: int, rounds: str, action: str) -> None:
    assert Convergence(99, period=period)(view_of_results(*rounds)).action == action


def test_the_order_of_results_does_not_matter_but_their_number_does() -> None:
    assert Convergence(9)(view_of_results("AB", "BA")).action == "trip"
    assert Convergence(9)(view_of_results("A", "AA")).action == "pass"
    assert Convergence(9)(view_of_results("AB", "A")).action == "pass"


def test_what_was_refused_is_not_brought_and_a_round_without_results_is_no_repetition() -> None:
    assert Convergence(9)(view_of_results("AX", "AY", refused="XY")).action == "trip"
    assert Convergence(9)(view_of_results("X", "X", refused="X")).action == "pass"
    assert Convergence(9)(view_of_results("A", "X", "A", "X", refused="X")).action == "pass"


def test_a_failed_attempt_to_plan_is_no_plan() -> None:
    context = view_of_plan(B, before=(A,))
    failed = Result(id="p-0", agent="planner", round=1, status="failed")

    assert (
        Convergence(5)(replace(context, state={**context.state, "plans": [failed, *context.state["plans"]]})).action
        == "pass"
    )


def test_another_attempt_in_the_same_round_is_not_earlier() -> None:
    context = view_of_plan(A)
    same = Result(id="p-1", agent="planner", round=1, value=A.model_dump(mode="json"))

    assert Convergence(5)(replace(context, state={"round": 1, "plans": [same]})).action == "pass"


@pytest.mark.parametrize("broken", [None, "text", 3, {"subtasks": "none"}, {"subtasks": [{"id": "s"}]}, ["text"]])
def test_an_answer_that_was_no_plan_does_not_stop_a_later_round(broken: object) -> None:
    context = view_of_plan(A, before=(B, C))
    stored = [context.state["plans"][0].model_copy(update={"value": broken}), context.state["plans"][1]]
    state = {**context.state, "plans": stored}

    assert evaluate_guards([Convergence(5)], replace(context, state=state)).trip is None
    assert evaluate_guards([Convergence(5)], replace(context, state=state, subject=C)).trip is not None


def test_a_bare_list_of_subtasks_is_a_plan() -> None:
    context = view_of_plan(A, before=(A,))
    stored = [context.state["plans"][0].model_copy(update={"value": context.state["plans"][0].value["subtasks"]})]

    assert Convergence(5)(replace(context, state={**context.state, "plans": stored})).action == "trip"


def test_what_is_no_plan_at_all_trips() -> None:
    told = evaluate_guards([Convergence(5)], replace(view_of_plan(A), subject="text"))

    assert told.trip is not None
    assert "guard 'Convergence' raised AttributeError" in told.trip.reason


@given(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=8), st.integers(1, 8))
def test_no_course_of_plans_goes_on_for_long(course: list[str], rounds: int) -> None:
    plans = [plan_of(f"search {letter}") for letter in course]
    passed = 0
    while (
        passed < len(plans)
        and evaluate_guards([Convergence(rounds)], view_of_plan(plans[passed], before=tuple(plans[:passed]))).trip
        is None
    ):
        passed += 1

    assert passed <= rounds
    assert len(set(course[:passed])) == passed
    assert passed in (rounds, len(plans)) or course[passed] in course[:passed]
