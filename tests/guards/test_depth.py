"""Delegation ends at a level."""

from __future__ import annotations

import pytest

from guardgraph.guards import Depth
from guardgraph.state import Allowance
from tests.guards.views import view_of_subtask, view_of_task


@pytest.mark.parametrize(("depth", "action"), [(0, "pass"), (1, "pass"), (2, "pass"), (3, "trip")])
def test_trips_only_above_its_limit(depth: int, action: str) -> None:
    verdict = Depth(2)(view_of_subtask(depth=depth))

    assert verdict.action == action
    assert (verdict.measured, verdict.limit) == (depth, 2)


@pytest.mark.parametrize(("depth", "action"), [(1, "pass"), (2, "trip")])
def test_an_allowance_from_above_is_tighter_than_its_own_limit(depth: int, action: str) -> None:
    verdict = Depth(5)(view_of_subtask(depth=depth, allowance=Allowance(depth=1)))

    assert (verdict.action, verdict.limit) == (action, 1)


def test_level_zero_lets_the_team_in_but_no_worker_out() -> None:
    assert Depth(0)(view_of_task(depth=0)).action == "pass"
    assert Depth(0)(view_of_subtask(depth=1)).reason == "level 1 is deeper than the 0 levels allowed"


def test_narrows_the_allowance_to_its_limit() -> None:
    assert Depth(3).narrow(view_of_task()) == Allowance(depth=3)
