from __future__ import annotations

from typing import Any

import pytest

from guardgraph.nodes.accepted import accepted_of, subtasks_by_id
from guardgraph.nodes.context import context_of
from guardgraph.state import ContextItem, Evidence, Gap, Result, Subtask

SEARCH = Subtask(id="s-1", goal="search the prices")
COUNT = Subtask(id="s-2", goal="count them")
QUOTE = Evidence(source="a.txt", quote="two")


def result(id_: str, *, subtask: str | None = None, value: Any = None) -> Result:
    return Result(id=id_, agent="analyst", subtask=subtask, value=value, evidence=(QUOTE,))


def test_accepted_results_come_in_the_order_in_which_they_were_made() -> None:
    state = {"results": [result("a"), result("b"), result("c")], "accepted": ["c", "a", "gone"]}

    assert [found.id for found in accepted_of(state)] == ["a", "c"]
    assert accepted_of({}) == accepted_of({"results": None, "accepted": None}) == []


@pytest.mark.parametrize(
    ("subtask", "planned", "title"),
    [("s-1", [SEARCH], "search the prices"), ("s-1", [], "s-1"), (None, [SEARCH], "analyst")],
)
def test_a_result_is_about_the_goal_of_its_subtask(subtask: str | None, planned: list[Subtask], title: str) -> None:
    results = [result("a", subtask=subtask, value=[1])]

    (item,) = context_of({"results": results, "accepted": ["a"], "subtasks": planned})

    assert item == ContextItem(
        kind="result", title=title, sender="analyst", value=[1], evidence=(QUOTE,), subtask=subtask, origin="agent"
    )


@pytest.mark.parametrize(("planned", "title"), [([SEARCH], "search the prices"), ([], "s-1")])
@pytest.mark.parametrize("agent", ["analyst", None])
def test_a_gap_is_about_the_goal_of_its_subtask_and_has_its_reason(
    planned: list[Subtask], title: str, agent: str | None
) -> None:
    (item,) = context_of({"gaps": [Gap(subtask="s-1", agent=agent, reason="no data")], "subtasks": planned})

    assert item == ContextItem(
        kind="gap", title=title, sender=agent or "", value="no data", subtask="s-1", origin="agent"
    )


def test_the_context_is_background_accepted_results_and_gaps_in_this_order() -> None:
    background = ContextItem(kind="background", title="house rules")
    state: dict[str, Any] = {
        "gaps": [Gap(subtask="s-2", reason="late")],
        "results": [result("a", subtask="s-1"), result("refused", subtask="s-1")],
        "accepted": ["a"],
        "context": [background],
        "subtasks": [SEARCH],
    }

    items = context_of(state)

    assert [(item.kind, item.title) for item in items] == [
        ("background", "house rules"),
        ("result", "search the prices"),
        ("gap", "s-2"),
    ]
    assert context_of({}) == ()


def test_a_gap_within_a_nested_team_is_not_about_a_subtask_of_the_team_itself() -> None:
    within = Gap(subtask="s-1", reason="no data", path=("team:x",))

    assert [item.title for item in context_of({"gaps": [within], "subtasks": [SEARCH]})] == ["s-1"]
    assert context_of({"gaps": [within], "subtasks": [SEARCH]}, Subtask(id="b", goal="b", depends_on=("s-1",))) == ()


def test_what_was_planned_is_known_by_its_id_and_a_thread_of_before_has_planned_nothing() -> None:
    assert subtasks_by_id({"subtasks": [SEARCH, COUNT]}) == {"s-1": SEARCH, "s-2": COUNT}
    assert subtasks_by_id({}) == {}
