"""A context shows one subject and writes verdicts on it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace
from typing import Any

import pytest

from guardgraph.guards import Depth, GuardContext, guard
from guardgraph.state import Plan, Request, Subtask, Task, Verdict
from tests.guards.views import NOW, view_of_plan, view_of_result, view_of_subtask, view_of_task


@pytest.mark.parametrize(
    ("context", "subject_id"),
    [
        (view_of_task(), "t-1"),
        (view_of_subtask(), "s-1"),
        (view_of_result(), "r-1"),
        (view_of_plan(Plan(), before=(Plan(),)), "round-2"),
        (GuardContext(gate="exit", subject=None, now=NOW), "exit"),
    ],
)
def test_a_subject_has_a_name_at_every_gate(context: GuardContext, subject_id: str) -> None:
    assert context.subject_id == subject_id


@pytest.mark.parametrize(("state", "number"), [({}, 1), ({"round": None}, 1), ({"round": 1}, 1), ({"round": 3}, 3)])
def test_the_first_round_is_one(state: dict[str, int | None], number: int) -> None:
    assert view_of_task(state=state).round == number


def test_a_view_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'depth'"):
        view_of_task().depth = 3  # pyright: ignore[reportAttributeAccessIssue] -- that is the point


def test_a_guard_cannot_change_the_state_that_it_is_shown() -> None:
    state: dict[str, Any] = {"round": 1, "plans": []}
    context = view_of_task(state=state)

    with pytest.raises(TypeError, match="does not support item assignment"):
        context.state["round"] = 7  # pyright: ignore[reportIndexIssue] -- that is the point
    with pytest.raises(AttributeError, match="no attribute 'append'"):
        context.state["plans"].append("mine")
    assert state == context.state == {"round": 1, "plans": []}


def test_a_view_of_a_view_has_the_same_state() -> None:
    context = view_of_task(state={"plans": []})

    assert replace(context, sources={"a": "b"}).state is context.state


def test_texts_of_sources_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        view_of_result(sources={"a": "b"}).sources["a"] = "c"  # pyright: ignore[reportIndexIssue] -- that is the point


def test_a_verdict_names_guard_gate_and_subject() -> None:
    verdict = view_of_subtask().verdict(Depth(1), trips=True, measured=2, limit=1, reason="too deep")

    assert verdict == Verdict(
        guard="Depth", gate="dispatch", subject="s-1", action="trip", reason="too deep", measured=2, limit=1
    )


def test_a_guard_with_a_name_is_called_by_it() -> None:
    @guard(at="dispatch")
    def stays_polite(context: GuardContext) -> None: ...

    assert view_of_subtask().verdict(stays_polite, trips=False).guard == "stays_polite"


def test_a_pass_gives_no_reason() -> None:
    assert view_of_subtask().verdict(Depth(1), trips=False, reason="too deep").reason == ""


@pytest.mark.parametrize(
    ("measured", "reason"),
    [(3, "3 is over the limit of 2"), (0, "0 is over the limit of 2"), (None, "no reason given")],
)
def test_a_trip_always_says_something(measured: int | None, reason: str) -> None:
    assert view_of_subtask().verdict(Depth(1), trips=True, measured=measured, limit=2).reason == reason


SENT = Request(task=Task(goal="compare"), trusted=True)
PLAN = Plan(subtasks=(Subtask(id="s-1", goal="a"), Subtask(id="s-2", goal="b")))


@pytest.mark.parametrize(
    ("context", "trusted"),
    [
        (view_of_task(), False),
        (view_of_task(state={"position": SimpleNamespace(trusted=True)}), True),
        (view_of_task(state={"position": SimpleNamespace(trusted=False)}), False),
        (view_of_subtask(), False),
        (view_of_subtask(state={"position": SimpleNamespace(trusted=True)}), False),
        (view_of_subtask(state={"trusted_subtasks": ["s-1"]}), True),
        (view_of_subtask(state={"trusted_subtasks": ["s-2"]}), False),
        (view_of_subtask(request=SENT), True),
        (
            view_of_subtask(request=SENT.model_copy(update={"trusted": False}), state={"trusted_subtasks": ["s-1"]}),
            False,
        ),
        (view_of_subtask(request=SENT, label=False), False),
        (view_of_result(trusted=True), True),
        (view_of_result(trusted=False), False),
        (replace(view_of_result(trusted=False), label=True), True),
        (replace(view_of_plan(PLAN), state={"trusted_subtasks": ["s-1", "s-2"]}), True),
        (replace(view_of_plan(PLAN), state={"trusted_subtasks": ["s-1"]}), False),
    ],
)
def test_the_label_of_a_subject_is_the_nearest_that_is_known(context: GuardContext, trusted: bool) -> None:
    assert context.trusted is trusted
