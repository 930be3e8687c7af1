"""What is counted has a cap."""

from __future__ import annotations

import pytest

from guardgraph.guards import Limits
from guardgraph.state import Allowance
from tests.guards.views import view_of_subtask, view_of_task


@pytest.mark.parametrize("name", ["subtasks", "calls"])
@pytest.mark.parametrize(("left", "action"), [(2, "pass"), (1, "pass"), (0, "trip")])
def test_trips_when_nothing_is_left_of_a_cap(name: str, left: int, action: str) -> None:
    context = view_of_subtask(
        allowance=Allowance.model_validate({name: 9}), remaining=Allowance.model_validate({name: left})
    )

    assert Limits(calls=9)(context).action == action


def test_says_which_cap_is_used_up() -> None:
    verdict = Limits()(view_of_subtask(allowance=Allowance(subtasks=20), remaining=Allowance(subtasks=0)))

    assert verdict.reason == "the limit of 20 subtasks is used up"
    assert (verdict.measured, verdict.limit) == (0, 20)


def test_messages_are_counted_where_they_are_sent() -> None:
    context = view_of_subtask(allowance=Allowance(messages=9), remaining=Allowance(messages=0))

    assert Limits(messages=9)(context).action == "pass"


def test_what_has_no_cap_never_trips() -> None:
    assert Limits(subtasks=None)(view_of_subtask()).action == "pass"


def test_narrows_the_allowance_to_its_caps() -> None:
    assert Limits().narrow(view_of_task()) == Allowance(subtasks=1_000)
    assert Limits(1, 2, 3).narrow(view_of_task()) == Allowance(subtasks=1, messages=2, calls=3)


def test_a_cap_of_zero_sends_nothing() -> None:
    allowance = Limits(subtasks=0).narrow(view_of_task())

    assert Limits(subtasks=0)(view_of_subtask(allowance=allowance, remaining=allowance)).action == "trip"


@pytest.mark.parametrize("limits", [Limits(), Limits(calls=10)])
def test_a_cap_of_calls_that_another_guard_has_set_is_left_to_that(limits: Limits) -> None:
    assert limits(view_of_subtask(allowance=Allowance(calls=9), remaining=Allowance(calls=0))).action == "pass"
