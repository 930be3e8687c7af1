"""Planning ends, and going in circles is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Convergence, evaluate_guards
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


@pytest.mark.parametrize("rounds", [0, -1])
def test_less_than_one_round_is_refused(rounds: int) -> None:
    with pytest.raises(ValueError, match=f"`rounds` must be at least 1, got {rounds}"):
        Convergence(rounds)
