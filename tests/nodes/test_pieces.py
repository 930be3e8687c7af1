from __future__ import annotations

from typing import Any

import pytest

from guardgraph.nodes import accepted_of, gap_piece, pieces_of, result_piece, titles_of
from guardgraph.state import Evidence, Gap, Piece, Plan, Result, Subtask

SEARCH = Subtask(id="s-1", goal="search the prices")
COUNT = Subtask(id="s-2", goal="count them")
QUOTE = Evidence(source="a.txt", quote="two")


def result(id_: str, *, subtask: str | None = None, value: Any = None) -> Result:
    return Result(id=id_, agent="analyst", subtask=subtask, value=value, evidence=(QUOTE,))


def plan(value: Any) -> Result:
    return Result(id="p", agent="planner", value=value)


def test_accepted_results_come_in_the_order_in_which_they_were_made() -> None:
    state = {"results": [result("a"), result("b"), result("c")], "accepted": ["c", "a", "gone"]}

    assert [found.id for found in accepted_of(state)] == ["a", "c"]
    assert accepted_of({}) == accepted_of({"results": None, "accepted": None}) == []


@pytest.mark.parametrize(
    ("subtask", "goals", "title"),
    [("s-1", {"s-1": SEARCH}, "search the prices"), ("s-1", {}, "s-1"), (None, {"s-1": SEARCH}, "analyst")],
)
def test_a_result_is_about_the_goal_of_its_subtask(subtask: str | None, goals: Any, title: str) -> None:
    piece = result_piece(result("a", subtask=subtask, value=[1]), goals)

    assert piece == Piece(kind="result", title=title, sender="analyst", value=[1], evidence=(QUOTE,), subtask=subtask)


@pytest.mark.parametrize(("goals", "title"), [({"s-1": SEARCH}, "search the prices"), ({}, "s-1")])
@pytest.mark.parametrize("agent", ["analyst", None])
def test_a_gap_is_about_the_goal_of_its_subtask_and_says_why(goals: Any, title: str, agent: str | None) -> None:
    piece = gap_piece(Gap(subtask="s-1", agent=agent, reason="no data"), goals)

    assert piece == Piece(kind="gap", title=title, sender=agent or "", value="no data", subtask="s-1")


def test_an_agent_is_told_background_accepted_results_and_gaps_in_this_order() -> None:
    background = Piece(kind="background", title="house rules")
    state: dict[str, Any] = {
        "gaps": [Gap(subtask="s-2", reason="late")],
        "results": [result("a", subtask="s-1"), result("refused", subtask="s-1")],
        "accepted": ["a"],
        "background": [background],
    }

    pieces = pieces_of(state, goals={"s-1": SEARCH})

    assert [(piece.kind, piece.title) for piece in pieces] == [
        ("background", "house rules"),
        ("result", "search the prices"),
        ("gap", "s-2"),
    ]
    assert pieces_of({}) == ()


def test_titles_are_those_of_all_plans_and_a_later_plan_comes_first() -> None:
    again = COUNT.model_copy(update={"goal": "count them again"})
    plans = [plan(Plan(subtasks=(SEARCH, COUNT)).model_dump(mode="json")), plan([again.model_dump(mode="json")])]

    assert titles_of(plans) == {"s-1": SEARCH, "s-2": again}


@pytest.mark.parametrize("value", [None, "no plan", 7, {}, {"subtasks": None}, {"subtasks": "x"}, [{"id": "x"}, 7]])
def test_what_is_no_plan_has_no_titles(value: Any) -> None:
    assert titles_of([plan(value)]) == {}


def test_one_bad_subtask_does_not_hide_the_others() -> None:
    assert titles_of([plan([{"id": "bad"}, SEARCH.model_dump(mode="json")])]) == {"s-1": SEARCH}
