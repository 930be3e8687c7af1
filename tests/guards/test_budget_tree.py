"""Budgets of one team of which one is part of another, and the steps of a budget."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from guardgraph.guards import Budget, Downgrade, Guard, checked_guards
from guardgraph.state import BadGraph

WEEK = timedelta(days=7)
AGENTS = {"a"}


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ({"per": "agent"}, {"per": "run"}),
        ({"per": "task"}, {"per": "run"}),
        ({"per": "tenant", "window": "hour"}, {"per": "tenant", "window": "day"}),
        ({"per": "tenant", "window": "minute"}, {"per": "tenant", "window": timedelta(seconds=61)}),
        ({"per": "tenant", "window": timedelta(seconds=59)}, {"per": "tenant", "window": "minute"}),
        ({"per": "tenant", "window": "hour"}, {"per": "tenant", "window": timedelta(minutes=61)}),
        ({"per": "tenant", "window": timedelta(minutes=59)}, {"per": "tenant", "window": "hour"}),
        ({"per": "tenant", "window": "day"}, {"per": "tenant", "window": timedelta(hours=25)}),
        ({"per": "tenant", "window": timedelta(hours=23)}, {"per": "tenant", "window": "day"}),
        ({"per": "tenant", "window": "month"}, {"per": "tenant", "window": timedelta(days=29)}),
        ({"per": "tenant", "window": timedelta(days=27)}, {"per": "tenant", "window": "month"}),
        ({"per": "tenant", "window": WEEK}, {"per": "tenant", "window": "month"}),
        ({"per": "thread", "window": "day"}, {"per": "thread"}),
    ],
)
@pytest.mark.parametrize("what", ["usd", "tokens", "calls"])
def test_a_part_that_is_larger_than_its_whole_would_never_hold(what: str, part: Any, whole: Any) -> None:
    def both(first: int, second: int) -> list[Budget]:
        return [Budget(**{what: first}, **part), Budget(**{what: second}, **whole)]

    with pytest.raises(BadGraph, match=rf"`{what}` of Budget\(per='{part['per']}'.* is 3, more than the 2 of Budget"):
        checked_guards(both(3, 2))
    assert len(checked_guards(both(2, 2))) == len(checked_guards(both(1, 2))) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Budget(calls=3, per="agent"), Budget(tokens=2)),
        (Budget(calls=3), Budget(calls=2)),
        (Budget(calls=3), Budget(calls=2, per="agent")),
        (Budget(calls=3, per="thread"), Budget(calls=2)),
        (Budget(calls=3, per="agent"), Budget(calls=2, window="day")),
        (Budget(calls=3, per="agent", window="day"), Budget(calls=2, per="tenant", window="day")),
        (Budget(calls=3, per="tenant", window="day"), Budget(calls=2, per="tenant", window="day")),
        (Budget(calls=3, per="tenant", window="day"), Budget(calls=2, per="tenant", window="hour")),
        (Budget(calls=3, per="thread", window="hour"), Budget(calls=2, per="tenant", window="day")),
    ],
)
def test_others_are_no_parts_of_each_other(one: Budget, other: Budget) -> None:
    assert checked_guards([one, other]) == (one, other)
    assert checked_guards([other, one]) == (other, one)


def test_budgets_are_named_by_their_window() -> None:
    with pytest.raises(
        BadGraph, match=r"of Budget\(per='tenant', window='hour'\) is 3.* of Budget\(per='tenant'\), of"
    ):
        checked_guards([Budget(calls=3, per="tenant", window="hour"), Budget(calls=2, per="tenant")])


@pytest.mark.parametrize("part", [1, 1.0, 0.001])
def test_a_step_is_at_a_part_of_the_budget(part: float) -> None:
    assert Budget(calls=1, at={part: Downgrade("cheap")}).at[part].model == "cheap"


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ([0.5], "`at` must map parts of the budget to steps"),
        ({0: Downgrade("cheap")}, "`at` names 0: a part of the budget is above 0"),
        ({1.01: Downgrade("cheap")}, "`at` names 1.01"),
        ({True: Downgrade("cheap")}, "`at` names True"),
        ({"half": Downgrade("cheap")}, "`at` names 'half'"),
        ({0.5: "cheap"}, r"`at\[0.5\]` must be a Downgrade, got 'cheap'"),
    ],
)
def test_other_steps_are_refused(at: Any, message: str) -> None:
    with pytest.raises(BadGraph, match=message):
        Budget(calls=1, at=at)


@pytest.mark.parametrize("model", ["", " ", 3, None])
def test_a_downgrade_names_a_model(model: Any) -> None:
    with pytest.raises(BadGraph, match="`model` must be a name"):
        Downgrade(model)


@pytest.mark.parametrize(
    "guards",
    [
        [Budget(calls=5), Budget(calls=5, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="agent"), Budget(calls=5, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="agent"), Budget(calls=6, per="task").only(agents=AGENTS)],
        [Budget(calls=9, per="agent").only(agents=AGENTS), Budget(calls=5, per="agent").only(agents={"b"})],
    ],
)
def test_budgets_that_can_hold_are_taken(guards: list[Guard]) -> None:
    assert [*checked_guards(guards)] == guards


@pytest.mark.parametrize(
    "guards",
    [
        [Budget(calls=5), Budget(calls=6, per="agent")],
        [Budget(calls=5), Budget(calls=6, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="agent"), Budget(calls=6, per="agent").only(agents=AGENTS)],
        [Budget(calls=5, per="task", window="day"), Budget(calls=6, per="task", window="hour").only(agents=AGENTS)],
    ],
)
def test_a_budget_that_would_never_hold_is_refused(guards: list[Guard]) -> None:
    for given in (guards, guards[::-1]):
        with pytest.raises(
            BadGraph, match=r"`calls` of Budget.* is 6, more than the 5 of Budget.*, of which it is a part"
        ):
            checked_guards(given)
